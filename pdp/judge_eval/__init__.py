"""How good a judge is on labelled cases, and how much the policy leans on it."""
