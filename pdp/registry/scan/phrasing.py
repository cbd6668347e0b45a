"""A small language for phrases, compiled to linear regular expressions over `fold.phrase`.

A phrase pattern is a regular expression over lower-case words between single spaces, in which `{NAME}` stands for
a set of words below and `~n` for up to n words of the same sentence. Words are bounded and separated by exactly one
space, so nothing backtracks further than n words.
"""

from __future__ import annotations

import re

_GAP = r"(?:[^ ]{{0,39}}[^ .!?;] ){{0,{}}}"
_USES = re.compile(r"\{([A-Z_]+)\}")

SETS = {
    "NOT": r"(?:(?:do|does|must|should|shall|may|can|will|need|are|is) ?not|dont|doesnt|mustnt|shouldnt|cant|cannot|never|"
    r"without|avoid|refrain from|no need to|not to|stop|omit)",
    "TELL": r"(?:tell|mention|inform|notif|alert|reveal|disclos|explain|expos|warn|acknowledg|discuss|communicat|"
    r"advis|indicat|announc|report|refer|say|show|display|share|let|leak|admit|confess|surface|describ|output|"
    r"prompt|ask|bother|log)(?:y|ying|e|ing|ting|s|es|ed)?",
    "PERSON": r"(?:users?|humans?|operators?|customers?|clients?|anyone|anybody|people|persons?|owners?|administrators?|"
    r"admins?|reviewers?|victims?|them|him|her)",
    "MUST": r"(?:must|always|should|shall|need to|needs to|has to|have to|required to|be sure to|make sure|ensure|"
    r"mandatory|first|please|remember to|immediately|you will|required|necessary)",
    "TAKE": r"(?:read|open|access|fetch|retriev|load|cat|get|collect|copy|extract|dump|gather|obtain|harvest|grab|look up|"
    r"list|scan|find|search|inspect|check|query|enumerat|captur|steal|record|log|includ|return|exfiltrat)"
    r"(?:e|es|s|ing|ting|ed|y)?",
    "GIVE": r"(?:pass|send|includ|put|provid|add|append|attach|upload|post|encod|embed|copy|submit|suppl|plac|insert|"
    r"writ|forward|transmit|share|deliver|exfiltrat|leak|e?mail|return|stor|sav|export|prepend|fill|set|report|"
    r"sync|relay|pip|redirect|bcc|cc|push|log|mirror|replicat|smuggl)(?:e|es|s|y|ies|ing|ting|ed|ting|ping)?",
    "SECRET": r"(?:credentials?|passwords?|passwd|passphrases?|secrets?|api[ -]?keys?|access[ -]?keys?|private[ -]?keys?|"
    r"ssh[ -]?keys?|ssh|tokens?|auth(?:entication|orization)? (?:tokens?|headers?|keys?|data)|session (?:cookies?|ids?|keys?|"
    r"tokens?|data)|cookies?|env(?:ironment)?[ -]?(?:variables?|vars?|file)|credit cards?|card numbers?|"
    r"bank account|social security|ssn|seed phrases?|wallets?|phone numbers?|pii|personal (?:data|info(?:rmation)?|"
    r"details)|private (?:data|info(?:rmation)?|messages?|repositor(?:y|ies)|files?)|sensitive (?:data|info(?:rmation)?|"
    r"files?|content|details|values?)|confidential (?:data|info(?:rmation)?|files?|documents?)|internal "
    r"(?:data|documents?|credentials?))",
    "CONTEXT": r"(?:(?:conversation|chat|message|dialog(?:ue)?|session|interaction|prompt|query|tool ?call)s? ?"
    r"(?:history|log|logs|context|transcripts?|contents?|data)|(?:entire|full|complete|whole|all|previous|prior|recent|last|"
    r"current|ongoing|verbatim) (?:of )?(?:the )?(?:users? )?(?:conversations?|chats?|messages?|dialog(?:ue)?s?|context|history|prompts?|"
    r"queries|query|requests?|inputs?|interactions?|transcripts?|session)|system (?:prompt|message|instructions?)|chain[ -]of[ -]thought|"
    r"(?:list|names?) of (?:all |the |your |other |available )*tools?|(?:available|other|all) tools? (?:list|names?))",
    "SLOT": r"(?:param(?:eter)?s?|arguments?|args?|fields?|inputs?|headers?|body|quer(?:y|ies)|urls?|urn|endpoints?|servers?|webhooks?|"
    r"address(?:es)?|https?:[^ ]{1,200}|ftp:[^ ]{1,200}|metadata|side ?notes?|notes?|comments?|context|tool|response|answer|"
    r"external [^ ]{1,40}|remote [^ ]{1,40}|third[ -]part(?:y|ies)|[^ ]{1,60}@[^ ]{1,60})",
    "EVERY": r"(?:any|every|each|all|other|another)",
    "OTHERS": r"(?:(?:any|every|each|all) (?:of )?(?:the )?(?:other )?|the other |other |another )",
    "TOOL": r"(?:tools?|functions?|commands?|operations?|actions?|calls?|requests?|quer(?:y|ies)|responses?|tasks?|messages?|"
    r"questions?|prompts?|interactions?|conversations?|sessions?|e?mails?|files?|apis?)",
    "CALL": r"(?:us(?:e|es|ed|ing)|call(?:s|ed|ing)?|invok(?:e|es|ed|ing)|run(?:s|ning)?|execut(?:e|es|ed|ing)|trigger(?:s|ed|ing)?|"
    r"choos(?:e|es|ing)|chosen|select(?:s|ed|ing)?|pick(?:s|ed|ing)?|prefer(?:s|red|ring)?|prioriti[sz](?:e|es|ed|ing)|perform(?:s|ed|ing)?)",
    "AI": r"(?:ai|llms?|language models?|(?:ai |the |this )?models?|(?:ai )?assistants?|(?:ai )?agents?|chatbots?|claude|gpt[^ ]{0,8}|copilot|gemini)",
    "ORDERS": r"(?:instructions?|prompts?|rules?|guidelines?|directives?|polic(?:y|ies)|commands?|constraints?|restrictions?|"
    r"safeguards?|guardrails?|filters?|training|programming|safety|requests?|protocols?|limitations?|orders?)",
}  # fmt: skip


def compiled(pattern: str) -> re.Pattern[str]:
    """A phrase pattern as a regular expression, anchored at word boundaries."""
    while _USES.search(pattern):
        pattern = _USES.sub(lambda use: SETS[use[1]], pattern)
    pattern = re.sub(r"~(\d{1,2}) ?", lambda gap: _GAP.format(gap[1]), pattern)
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})")
