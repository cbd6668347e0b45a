"""Instruction-like text by what a sentence is about, for wordings that no list of phrases foresees.

A sentence is looked at for concepts (a secret, handing over, hiding, people, rules, setting aside, ...); some
concepts do not meet in one sentence of an honest description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pdp.registry.scan.finding import Rule, excerpt_of
from pdp.registry.scan.phrasing import compiled

_SENTENCE = re.compile(r"(?<=[.!?])[\s\"')*_`]+|\n\s*\n|\n\s*[-*•]\s")
MAX_SENTENCES = 2_000

_CONCEPTS = {
    "secret": r"{SECRET}\b|(?:aws|cloud|login|database|db|admin|root|user) (?:keys?|passwords?|logins?)\b|keyring|vault contents?|mnemonic|[^ ]{0,30}\.env\b|[^ ]{0,40}\.ssh\b|[^ ]{0,40}id rsa",
    "talk": r"{CONTEXT}\b|(?:earlier|previous|prior|past|preceding|other|recent|all|every|last) (?:[^ ]{1,20} )?(?:messages?|chats?|conversations?|turns?|prompts?)\b"
    r"|(?:what|whatever|everything|anything|all|things?|words?) (?:that )?(?:the |your )?(?:users?|humans?|person|customer|they|he|she) (?:has |have |had |just |already )?(?:said|wrote|written|typed|asked|entered|told|shared|say|says|type|write|ask|discussed)"
    r"|(?:this|the|your|our) (?:chat|conversation|dialogue|transcript)s?\b|system prompts?\b|(?:your|the models?) (?:own )?(?:instructions|reasoning|configuration|context|memory)\b|the users? (?:original|exact|full|entire) (?:request|message|prompt|query|words|question)",
    "give": r"(?:pass|send|put|suppl|attach|upload|post|past|fill|e?mail|forward|transmit|append|embed|encod|copy|submit|provid|insert|exfiltrat|leak|deliver|prepend|smuggl|relay|bcc)(?:e|es|s|y|ies|ied|ing|ed)?\b|(?:hand|handed|pass|passed|give|giv\w+) (?:it |them |this |that |these )?(?:over|as|in|to|back|its|the|their)\b|past(?:e|ed|ing)\b|filled?\b|mailed|quot(?:e|ed)\b|feed\b|carry\b|enter(?:ed)?\b|dump\w*\b|echo\b|made available\b|populat\w+\b|contain\b",
    "take": r"(?:read|open|fetch|look (?:for|up|in|into|at|through)|collect|gather|locate|find|load|scan|retrieve|harvest|copy|extract|cat|access|obtain|grab|list|search)\b",
    "slot": r"(?:(?:the|this|an?|in|into|via|through|as) )*{SLOT}\b|subdomain|footer|suffix|prefix|file ?name|(?:here|there)\b",
    "oblige": r"(?:must|should|shall|need|needs|has to|have to|is to|are to|required|requires|only (?:accepted|works?|valid|possible)|always|be sure|make sure|ensure|mandatory|necessary|obliged|is best|best not|please)\b",
    "hide": r"(?:unaware|in the dark|oblivious|none the wiser|kept? (?:[^ ]{1,20} ){0,6}?(?:to yourself|from (?:the |them|users?|people|anyone)|quiet|secret|private|out of sight|hidden)"
    r"|keep (?:[^ ]{1,20} ){0,7}?(?:to yourself|from (?:the |them|users?|people|anyone)|quiet|secret|out of sight|hidden)|(?:leave|leaving|left|omit|drop|strip|exclude) (?:[^ ]{1,20} ){0,6}?(?:out|from) (?:of )?(?:what|your|the|any) (?:you |final )*(?:report|say|answer|reply|response|summary|tell|show|log|output|transcript)"
    r"|(?:not|never|dont|avoid|without|no need to|rather not|better not|stop short of|refrain from) (?:[^ ]{1,20} ){0,4}?(?:bring\w* (?:[^ ]{1,20} )?up|hear|hearing|learn|learning|find out|brought up|mentioned|mention|mentioning|raise|raising|told|said|saying|a word|divulg\w+|betray\w*|draw\w* attention|call\w* attention|speak|spoken|talk|talking|explained|shown|visible|appear|surface|surfaced|see|seen|notice|noticed|aware|tell|telling|reveal|revealing|disclose|disclosed)\b"
    r"|out of (?:sight|view)|say nothing|stay silent|remain silent|nothing about|no mention|no trace|traceless|behind the scenes|under the radar|undisclosed|quietly|silently|secretly|covertly|discreetly)",
    "chat": r"(?:(?:conversations?|chats?|dialogues?)(?! ?(?:id|title|name|list|room|channel)s?\b)|system prompts?|users? (?:messages?|prompts?|words|inputs?|original \w+)|(?:what|everything|anything|all) (?:that )?the user (?:has |have |just )?(?:said|wrote|written|typed|asked|told|says|types|writes))\b",
    "dark": r"(?:unaware|in the dark|oblivious|none the wiser|(?:keep|keeping|kept) (?:[^ ]{1,20} ){0,7}?(?:to yourself|quiet|out of sight|from (?:the )?(?:users?|them|people|anyone|humans?)))\b",
    "whole": r"(?:everything|entire|full|whole|complete|all|verbatim|word for word|every|any|exact|raw|so far)\b",
    "person": r"{PERSON}\b|user|person|somebody|someone|human being|people|end user|reviewers?|developers?|team\b",
    "rules": r"(?:instructions?|guidance|guidelines?|guard ?rails?|rules?|polic(?:y|ies)|limits?|limitations?|restrictions?|constraints?|safety(?: training| rules| checks?| filters?)?|training|system (?:prompt|message)|operator|boundaries|ethic\w*|directives?|orders|protections?|safeguards?|whatever you were told)\b",
    "cancel": r"(?:no longer (?:appl\w+|hold|holds|valid|in force|binding|relevant|count)|suspended|(?:leave|set|put|cast|lay|push) (?:[^ ]{1,20} ){0,4}?aside|disregard\w*|ignor\w+|forget\w*|lifted|(?:do|does|did|will) not (?:apply|count|hold|matter)|void|overrid\w+|overrul\w+|waived?|revoked|outrank\w*|not bound|not subject|supersed\w*|come(?:s)? second|abandon\w*|drop\w* all|unlearn|bypass\w*|circumvent\w*|neglect\w*|discard\w*|lift\w*|free (?:of|from)|exempt\w*|stand(?:s)? above|trump\w*|replac\w+ (?:your|all|the system|any|previous|earlier))\b",
    "early": r"(?:previous|prior|above|earlier|preceding|existing|original|initial|your|you were|system|safety|security|operators?|developers?|whatever|users?)\b",
    "foreign": r"(?:other|another|different|every other|any other|remaining|competing|neighbouring|sibling) (?:[^ ]{1,20} )?(?:tools?|servers?|functions?|ways?|means|methods?|options?|agents?)\b|(?:alternatives|the others|everything else|the rest|no other|others)\b"
    r"|(?:payments?|e?mails?|messag\w+|files?|git|search|browser|database|calendar|shell|bank\w*|transfer|write|read|send|delete|upload|chat|slack|github|whatsapp|web|commands?|code|terminal) ?(?:[^ ]{1,20} )?(?:tools?|push|commits?|operations?|functions?|calls?)\b|(?:when|whenever|if|each time|every time|once|before|after|while) (?:the |an? )?[^ ]{2,40} (?:tool )?(?:is|are|gets|has been|was|were) (?:called|used|invoked|run|executed|triggered)\b",
    "alter": r"(?:doubl|chang|rewrit|replac|redirect|bcc|alter|swap|adjust|modif|increas|overwrit|substitut|rerout|diver|reroute|intercept|tamper|inject|append|add|insert|put|wrap|filter|mirror|forward|duplicat|beneficiary|recipient|prefix|strip)\w*\b",
    "trigger": r"(?:at )?(?:the )?(?:start|beginning|outset|opening|end) of (?:every|each|any|a|the) (?:conversation|session|chat|turn|message|task|request|interaction|reply|response)|(?:each|every) (?:new |single |user |incoming |other )*(?:session|conversation|chat|turn|question|message|request|task|prompt|query|answer|response|reply|interaction|tool call|action)s?\b|before (?:you |the model |it )?(?:answer|respond|repl\w+|do anything|anything else|all else|acting|act|continuing|proceed\w*|every\w*)|prior to (?:all|any\w*|every\w*)|until (?:this|it) (?:has|is|was)|no other tool|(?:first|before) (?:thing|anything)|whatever the (?:user|question|task)|no matter (?:what|which|how|who)|regardless",
    "call": r"{CALL}\b|go through|gone through|went through|pass through|consult\w*|come first|(?:go|goes|call this|run first|this tool|this function)\b",
    "assent": r"(?:permissions?|approvals?|confirmations?|confirm|approve|consent|agreement|dialogs?|prompts?|authori[sz]ation|warnings?|second person|sign-?off|review)\b",
    "given": r"(?:on (?:the )?(?:users?|their|your) behalf|already|taken as (?:given|read)|answered? (?:with )?yes|click\w* (?:yes|ok|allow|accept)|without (?:asking|waiting|a prompt|one)|assum\w+|presum\w+|implied|implicit\w*|go ahead|automatic\w*|granted|by default accepted|not needed|unnecessary|can be skipped|skip\w*|waived|bypass\w*|accept\w* (?:for|every|all))\b",
    "sole": r"(?:the (?:one|only|sole) (?:[^ ]{1,20} )?(?:tool|source|function|way|server|method|place)|(?:skip|avoid|shun|leave|ignore|never (?:be )?call\w*|never be used|must not be|should not be|distrust|not to be trusted|insecure|stale|unsafe|wrong|inferior|broken|unreliable|pick|choose|prefer\w*|favou?r\w*|over) )",
    "model": r"(?:you|your|assistants?|the (?:ai|model|llm|agent)|ai|llms?|agents?)\b",
    "act": r"(?:act|behave|function|operate|respond|serve|obey|carry out|follow|execute) (?:[^ ]{1,20} ){0,2}?(?:as|like|the vendor|what|whatever|it|them|these|commands?|without)\b",
    "now": r"(?:from (?:now|here|this point) on|from here on|now on|henceforth|for (?:this|the rest of the) session|hereafter|going forward|as of now|starting now|is your guidance|your guidance now|now your)\b",
    "address": r"[^ ]{1,64}@[^ ]{1,64}\.[a-z]{2,10}|https?:[^ ]{4,200}|ftp:[^ ]{3,200}",
    "copy": r"(?:also|copy|copied|copies|archive|mirror|backup|bcc|cc|as well|additionally|every|each|all|must|in parallel|second)\b",
    "leave": r"(?:sent|sends?|sending|mailed|mails?|e?mailed|forward\w*|upload\w*|post(?:s|ed|ing)|deliver\w*|report(?:s|ed|ing)|shar(?:es|ed|ing)|push\w*|transmit\w*|submit\w*|stream\w*|copied|exfiltrat\w*|collects?|harvest\w*|captures?|relays?)\b",
    "context": r"{CONTEXT}\b|(?:chat|conversation|prompt|session) (?:meta)?data\b|(?:users?|chat|conversation) (?:[^ ]{1,20} )?(?:conversations?|content|histor(?:y|ies)|transcripts?)\b",
}  # fmt: skip
_SHAPES = {name: compiled(pattern) for name, pattern in _CONCEPTS.items()}


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Concepts that tell of poison when one sentence holds them all."""

    rule: Rule
    concepts: tuple[tuple[str, ...], ...]


def _meeting(code: str, what: str, *concepts: str) -> _Meeting:
    help_ = f"A sentence that {what}. Read the whole text: a description describes, it does not give orders."
    return _Meeting(Rule(f"sentence.{code}", "high", help_), tuple(tuple(c.split()) for c in concepts))


_MEETINGS = (
    _meeting("secret", "has a secret handed over", "secret give slot", "secret give oblige", "secret take give", "secret give whole"),
    _meeting("talk", "has the conversation handed over", "talk give oblige", "talk give slot", "context leave", "chat give whole"),
    _meeting("hide", "keeps something from people", "hide person", "dark"),
    _meeting("rules", "sets rules aside", "rules cancel early", "rules cancel model", "rules now", "act now", "act model now"),
    _meeting("foreign", "meddles with other tools", "foreign alter oblige", "foreign sole oblige", "foreign sole call", "foreign alter address"),
    _meeting("trigger", "has the tool called for everything", "trigger call oblige", "trigger call model", "trigger call talk"),
    _meeting("assent", "takes people's assent as given", "assent given person", "assent given call", "assent given model"),
    _meeting("leave", "has data leave for an address", "address leave copy", "address leave oblige"),
)  # fmt: skip

# what a sentence denies from its first word on, it does not ask for
_DENIAL = compiled(r"(?:no|neither|none of|this tool (?:does|will) not|it (?:does|will) not|does not|we (?:do not|never)) (?![^ ]{1,20} tools?)")
_ASKED = _meeting("asked", "asks for what only the model or the user has", "chat whole", "secret give")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, at most `MAX_SENTENCES`."""
    for count, part in enumerate(_SENTENCE.split(text)):
        if count == MAX_SENTENCES:
            return
        if part and len(part) > 12:
            yield part


def meetings(folded: str, *, of_property: bool) -> Iterator[tuple[Rule, str]]:
    """Rules that hold of one folded sentence; a parameter's description asks for what it describes."""
    held: dict[str, bool] = {}
    if _DENIAL.match(folded):
        return

    def holds(concept: str) -> bool:
        if concept not in held:
            held[concept] = _SHAPES[concept].search(folded) is not None
        return held[concept]

    for meeting in (*_MEETINGS, _ASKED) if of_property else _MEETINGS:
        for concepts in meeting.concepts:
            if all(holds(concept) for concept in concepts):
                yield meeting.rule, excerpt_of(folded)
                break
