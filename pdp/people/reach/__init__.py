"""How approvers are reached and known: directory of people, mail, chat, webhooks."""
