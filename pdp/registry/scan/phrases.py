"""Instruction-like text: what a description says to the model instead of about the tool.

`high` is what no honest description needs; `medium` is what honest ones say too, and counts for more when it comes
together (`together`). All patterns are ours, tuned as `docs/scan.md` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pdp.registry.scan.finding import Rule, Severity, excerpt_of
from pdp.registry.scan.phrasing import compiled

_READ = "A definition describes; it does not give the model orders of its own. Read the whole text before accepting."


@dataclass(frozen=True, slots=True)
class Phrases:
    """A rule and the phrases that it looks for; `sign` is the kind of sign it is when several come together."""

    rule: Rule
    patterns: tuple[re.Pattern[str], ...]
    sign: str = ""


def _phrases(code: str, severity: Severity, help_: str, *patterns: str, sign: str = "") -> Phrases:
    return Phrases(Rule(code, severity, f"{help_} {_READ}"), tuple(compiled(p) for p in patterns), sign)


RULES = (
    _phrases(
        "instruction.override",
        "high",
        "Text that sets aside other instructions.",
        r"(?:ignor|disregard|forget|overrid|overrul|bypass|neglect|supersed|dismiss|discard|circumvent|violat|replac)(?:e|es|ing|s)? "
        r"~3 (?:previous|prior|above|earlier|preceding|existing|original|initial|all|any|your|system|safety|security|"
        r"user|users|developer|other|default|these|those|content|ethical) ~2 {ORDERS}\b",
        r"(?:ignor|disregard|forget)(?:e|ing)? (?:everything|anything|all|what) ~3 (?:above|before|previous|prior|told|said|else|earlier|instructed)",
        r"(?:takes?|taking|has|have|with|given) (?:absolute |highest |higher |top )?(?:precedence|priority) (?:over|above)",
        r"(?:system|safety|security|policy|admin|developer|instruction) override",
        r"(?:developer|dan|jailbreak|god|unrestricted|sudo|root|admin|debug|maintenance|unsafe|bypass) mode ~3 (?:enabled|activated|on|active|now|engaged)\b",
        r"jailbreak|jailbroken",
        r"you are now (?:a|an|in|the|no longer|operating|acting|free|my|running|authori[sz]ed|unrestricted)\b",
        r"(?:pretend|imagine|act as if|behave as if|assume) (?:to be |you are |that you |you have )",
        r"from (?:now on|this point (?:on|forward|onwards?))",
        r"(?:new|updated|revised|actual|real|true|hidden|secret|special|important|urgent) (?:system |core |admin )?(?:instructions?|directives?|persona|objectives?)\b",
        r"your (?:new|real|true|actual|primary|only|first|main) (?:task|goal|purpose|objective|instructions?|role|job|mission|directive)",
        r"regardless of (?:what |the |any |your )*(?:users?|they|instructions?|previous|prior|other|request|permissions?|consent)",
        r"even if (?:the )?(?:user|they|it|you) ~4 (?:not|refus\w*|declin\w*|object\w*|say|says|said|ask|asks|unsafe|forbid\w*|den(?:y|ies|ied)|disagree\w*)\b",
        r"(?:instead|rather than) (?:of )?(?:following|obeying|doing|performing|answering) ~2 (?:user|their|original|requested|what)",
        r"(?:do|does) not (?:follow|obey|apply|enforce|respect|refuse|question) (?:the |any |all |your )*(?:users?|previous|prior|system|safety|security|original|earlier|other|usual|normal) ~2 {ORDERS}\b",
        r"(?:obey|follow|comply with|adhere to|execute) (?:strictly |exactly )?(?:these|this|the following|all|any|every|my|those|embedded) ~3 (?:instructions?|commands?|directives?|orders?)",
        r"strictly (?:adhere|follow|comply|obey)",
    ),
    _phrases(
        "instruction.conceal",
        "high",
        "Text that wants something kept from people.",
        r"{NOT} (?:ever |explicitly |directly |also |even |to |need to |you |openly )*{TELL} ~3 {PERSON}\b",
        r"{NOT} (?:ever |explicitly |directly |need to )*(?:tell|mention|inform|notify|alert|reveal|disclos|acknowledg|discuss|admit|announc|reference)(?:e|ing|ning)? "
        r"(?:about )?(?:this|that|these|those|it|any|anything|why|how|what|the (?:above|following|fact|existence|hidden|extra|file|instruction|additional|policy|reason|presence)|you|where|of)\b",
        r"(?:silently|secretly|covertly|stealthily|quietly|discreetly|surreptitiously|invisibly|transparently to|unobtrusively) ~2 "
        r"(?:{TAKE}|{GIVE}|{CALL}|modif\w+|chang\w+|replac\w+|delet\w+|inject\w+|perform\w*|do|monitor\w*|install\w*|writ\w+|creat\w+|creates?)\b",
        r"(?:{TAKE}|{GIVE}|{CALL}|do|perform|complete|proceed) ~4 (?:secretly|covertly|stealthily|discreetly|surreptitiously|silently)\b",
        r"(?:users?|humans?|people|they|customers?|nobody|no one) (?:must|should|shall|do|does|need|needs|will|can|may|is|are)? ?(?:not |never |dont )?(?:to )?(?:be )?"
        r"(?:not |never |unaware|kept unaware)(?:to )?(?:be )?(?:know|see|told|informed|aware|notified|notice|need|of|shown|find out|realize|visible)\b",
        r"without (?:the |any |a |their |them |explicit |prior |ever )*(?:users?|humans?|persons?|customers?|owners?|operators?|victims?)? ?(?:knowledge|awareness|noticing|realizing|knowing|seeing|detection|being (?:noticed|detected|seen|aware))\b",
        r"without (?:informing|telling|notifying|alerting|asking|mentioning|disclosing|revealing|warning|prompting) ~2 (?:the )?(?:users?|humans?|anyone|them|it|this|operators?|owners?)\b",
        r"(?:keep|keeping|kept|remain|stay) (?:this |it |these |that |them )?(?:\w+ ){0,2}(?:secret|hidden|confidential|invisible|undetected|between us|unnoticed)\b",
        r"(?:hide|hiding|conceal|mask|obscur|disguis)(?:e|ing|s)? ~5 from ~2 {PERSON}\b",
        r"(?:hidden|invisible|not visible|unseen) (?:from|to) (?:the |all |any |end )*{PERSON}\b",
        r"(?:mere|internal|just an?|only an?) (?:technical |internal |minor |mere )?implementation detail",
        r"(?:avoid|prevent|so as not to|without) (?:alarming|worrying|scaring|confusing|upsetting|suspicion|raising suspicion|detection)",
        r"(?:does|do) not need to (?:know|see|be (?:told|informed|aware|notified))",
        r"(?:present|frame|describe|phrase|disguise) (?:the |this |it |them )?\w{0,20} ?as (?:if|though) (?:it|they|this|normal|part)",
        sign="conceal",
    ),
    _phrases(
        "instruction.exfiltrate",
        "high",
        "Text that asks for data to be handed over.",
        r"{GIVE} ~6 (?:{SECRET}|{CONTEXT}) ~9 (?:as|in|into|to|via|through|using|within|with|inside|under|by) ~4 {SLOT}\b",
        r"{GIVE} ~6 (?:contents?|output|data|values?|results?|text) (?:of|from) ~8 (?:as|in|into|to|via|through|within) ~3 (?:{SLOT}|[a-z ]{1,24} param(?:eter)?)\b",
        r"{GIVE} (?:its|their|the|all|any|every|these|this|that|them|it|full|raw) ~3 (?:contents?|data|values?|info\w*|output|keys?)? ?(?:as|in|into|via|to|through) ~3 (?:side ?note|param(?:eter)?|argument|webhook|external|attacker|https?:|[^ ]{1,60}@)",
        r"(?:must|always|should|please|required to|need to|have to|first|also|then|be sure to|make sure to|and|ensure) ~3 (?:{GIVE}|{TAKE}) ~5 (?:{CONTEXT})",
        r"(?:context|notes?|metadata|param(?:eter)?|argument|field|value|this)\b ~4 (?:must|should|needs? to) (?:always )?(?:contain|include|be|hold|carry) ~4 (?:{SECRET}|{CONTEXT})",
        r"(?:send|forward|redirect|route|bcc|cc|copy|deliver|mirror|report|exfiltrat|leak|upload|post|transmit|relay)(?:e|es|s|ing|ed)? (?:all|every|each|any|a copy of|copies of|everything|the (?:entire|full|complete)) ~7 (?:to|at|via) ",
        r"(?:exfiltrat|steal|harvest|siphon|smuggl)(?:e|es|ing|ed|s|ion)? ~5 (?:{SECRET}|{CONTEXT}|data|info\w*|files?|content\w*|to)\b",
        r"(?:{TAKE}) ~6 {SECRET} ~6 (?:and|then) ~3 {GIVE}\b",
        r"(?:value|contents?|dump|list) of (?:all |the |every |your |any )*(?:{SECRET})",
        sign="exfiltrate",
    ),
    _phrases(
        "instruction.fetch_secret",
        "high",
        "Text that tells the model to get at secrets.",
        r"(?:before|first|must|always|after|prior to|also|please|when\w*|required to|need to|needs to|have to|ensure|make sure) ~9 {TAKE} ~6 {SECRET}\b",
        r"{TAKE} (?:the |any |all |your |users? |stored |available |local |saved |current )+(?:[^ ]{1,20} ){0,2}?(?:credentials?|passwords?|secrets?|private keys?|ssh keys?|api keys?|env(?:ironment)? (?:variables?|files?)|cookies|seed phrase)\b ~5 (?:from|in|and|to|then)\b",
        sign="secret",
    ),
    _phrases(
        "instruction.redirect",
        "high",
        "Text that changes what other tools do or receive.",
        r"(?:chang|replac|modif|alter|overwrit|substitut|swap|rewrit|set|redirect|updat|spoof|manipulat|tamper|falsif)(?:e|es|y|ies|ing|ed|s)? (?:with )?(?:the |all |any |every |its |their |actual |final |wrong |original |users? )*(?:recipients?|destination|beneficiary|payee|iban|account numbers?|wallet|results? of|outputs? of|responses? of|values? with (?:the )?(?:response|result|output)|addressee|(?:e?mail |wallet |payment |to |recipient |destination |deposit )(?:address|account|field))",
        r"(?:all|every|any|each) (?:[^ ]{1,20} ){0,2}(?:e?mails?|messages?|payments?|transfers?|requests?|files?|data|traffic|transactions?|funds|output|queries|results|calls) (?:must|should|shall|needs? to|has to|have to|will|are to) (?:first |also |always )?(?:be )?(?:sent|routed|forwarded|redirected|go|goes|copied|delivered|sent|passed|proxied|uploaded|logged|validated|pass|bcc|cc|made|transferred|paid)",
        r"(?:other|another|different|existing|trusted|legitimate|also present|connected) ~3 (?:tools?|servers?) ~4 (?:must|should|has to|have to|need to|needs to|always)\b",
        r"side effects? on ~6 tools?",
        r"(?:always|must|should|automatically|silently|secretly|be sure to|make sure to) ~2 b?cc\b",
        r"(?:proxy|relay) (?:number|address|account|recipient|server) (?:used|for|to|that|which)",
        r"modify ~3 (?:wrong )?(?:result|output|response)s? of ~4 (?:tool|function|command)",
        r"(?:replace|overwrite|substitute) the (?:values?|arguments?|inputs?|parameters?) with ~2 (?:response|result|output|return)",
        sign="redirect",
    ),
    _phrases(
        "instruction.preference",
        "high",
        "Text that praises the tool over others, or wants it called always.",
        r"(?:best|greatest|most (?:powerful|reliable|accurate|trusted|important|secure|advanced|efficient|complete|preferred)|only (?:trusted|reliable|correct|valid|safe|approved|official)|number one|no ?1|top|ultimate|superior|ideal) (?:[^ ]{1,20} )?(?:tools?|functions?|apis?|choice|option)\b",
        r"(?:must|should|shall|will|has to|need to|needs to|is to|ought to) (?:always |only |absolutely |definitely )+(?:be )?(?:used|called|chosen|selected|preferred|invoked|run|prioriti[sz]ed|executed|use|call|choose|select|prefer|invoke|prioriti[sz]e) ~3 (?:this|first|before|over|instead|for (?:any|all|every)|regardless|no matter|in)\b",
        r"(?:rather than|instead of|over|in place of|not|never|and avoid|better than|superior to|preferred over|prefer\w* ~4 (?:over|to)) (?:using |calling |to use |any use of )?(?:{OTHERS}|the |all )?(?:others\b|(?:other|any|all|original|built-?in|native|default|standard|existing|legacy|similar|alternative|competing|older) ~2 (?:tools?|functions?|servers?|apis?|options?)\b)",
        r"(?:no matter (?:what|how|which)|under all circumstances|in all (?:cases|situations|scenarios)|without exception)",
        r"(?:(?:use|call|invoke|run|execute|trigger|consult) (?:it|this|this tool|this function|the tool|me)|(?:must|should|shall|needs? to|has to|always|to) (?:always |also |first )?be (?:used|called|invoked|run|executed|triggered|consulted)) ~4 (?:for|on|at|in|during|after|before|with) (?:any|every|each|all) (?:single |user |new |incoming |and every |subsequent |other |tool )*(?:requests?|quer(?:y|ies)|messages?|conversations?|interactions?|tasks?|questions?|responses?|turns?|prompts?|operations?|tool calls?|calls?|tools?|steps?|sessions?|inputs?)\b",
        r"(?:highest|maximum|top|utmost) priority\b",
        r"(?:skip|avoid|ignore|shun|forget|drop) (?:the|all|any|every) others?\b",
        r"(?:other|alternative|all other|any other|competing|similar|older|previous|original|legacy) (?:[^ ]{1,20} )?(?:tools?|functions?|servers?|apis?) (?:[^ ]{1,20} )?(?:(?:is|are|has been|have been) (?:[^ ]{1,20} )?(?:deprecated|unsafe|insecure|compromised|outdated|broken|unreliable|disabled|inferior|malicious|obsolete|removed|incorrect)|(?:must|should|can ?not|will) (?:not|never|no longer|fail))",
        r"(?:do not|dont|never|avoid|stop|must not|should not) {CALL} (?:{OTHERS}|the (?:other|original|built-?in|native|default|official|standard|old) |any )~3(?:tools?|functions?|servers?|others?|versions?)\b",
        sign="prefer",
    ),
    _phrases(
        "instruction.everything",
        "high",
        "Text that ties the tool to every other call.",
        r"(?:before|prior to|after|whenever|when|every time|each time|while|once|if|on|during|alongside|following|for) (?:you |the |a |user |an )*(?:{CALL} |making |doing |performing |answering |responding to |processing |handling |providing |starting |completing |returning )?(?:{OTHERS}|any |every |each |all )(?:[^ ]{1,20} ){0,2}?{TOOL}\b ~9 (?:{MUST}|you|this tool|{CALL} this|{CALL} the|{TAKE}|{GIVE})\b",
        r"{MUST} ~6 (?:before|prior to|after|with|alongside|on|for) (?:{CALL} |making |doing |performing |answering |responding to |processing |handling |providing |returning )?(?:{OTHERS}|any |every |each |all )(?:[^ ]{1,20} ){0,2}?(?:tools?|functions?|operations?|actions?|calls?|requests?|quer(?:y|ies)|responses?|tasks?|messages?|e?mails?|interactions?)\b",
        r"(?:any ?time|every ?time|whenever|each time|when(?:ever)?) (?:the )?(?:users?|humans?) (?:asks?|says?|requests?|sends?|mentions?|informs?|types?|wants?|provides?|interacts?) (?:about |for |a |you |to )*(?:anything|something|any|everything|question|message)\b",
        r"(?:before|prior to|after) (?:{CALL}|executing|doing|performing) (?:[^ ]{1,20} ){1,3}(?:operation|function|tool|command|action)s?,? (?:[^ ]{1,20} ){0,2}{CALL} this (?:tool|function|first)\b",
        r"(?:when|while|whenever) (?:processing|handling|answering|responding to|serving|completing) (?:users? |the |all |any )*(?:requests?|quer(?:y|ies)|messages?|tasks?|questions?)[,:]? ~2 (?:{CALL}|{TAKE}|{GIVE}|{MUST})\b",
        r"no (?:other )?(?:tools?|functions?|calls?|requests?) (?:will |can |may )?(?:works?|succeeds?|runs?|be used|is valid) (?:until|unless|before)",
        r"(?:when|if|while|once) (?:the )?(?:users?|operation|tool|function|request|task) ~9 (?:just|only|always|must) {CALL} this (?:tool|function)\b",
        sign="every",
    ),
    _phrases(
        "instruction.address",
        "high",
        "Text addressed to the model over the heads of people.",
        r"(?:instructions?|notes?|messages?|directives?|reminder|guidance|attention|hint|notice|memo) (?:for|to|only for) (?:the |all |any )*{AI}\b(?! (?:operations|team|engineer|department|research|lab|company|provider|safety|platform|service))",
        r"(?:important|special|urgent|critical|secret|private|hidden|priority) (?:message|note|instruction|information|notice|request) (?:from|to) (?:the )?(?:users?|system|admin\w*|developers?|you)\b",
        r"(?:system|admin|developer|assistant|internal|security|protocol|maintenance|compliance|operator|policy|ai) ?(?:instructions?|prompt|directive|message|override|note|notice|command|policy)s? ?:",
        r"(?:dear|hey|hello|attention|attn|hi)[,:]? (?:the )?{AI}\b",
        r"(?:{AI}|you) (?:is|are) (?:now )?(?:hereby )?(?:required|instructed|authori[sz]ed|obligated|ordered|commanded|expected|programmed|granted) to\b",
        r"{AI} (?:must|shall|should always|should first|is to|has to|will always) (?:always |also |first |now |never )?(?:{CALL}|{TAKE}|{GIVE}|ignore|not|follow|do|respond|comply|obey|execute|append|prepend|trust|treat)\b",
        r"the task (?:that )?i gave you|i am the user|signed, the user|please do the following (?:first|instead)",
        r"(?:previous|original|current|your) task (?:has been|is|was) (?:complete|completed|done|finished|cancel\w+)",
        r"(?:do|complete|perform|execute|finish) (?:the )?(?:following|new task|this) (?:first|before|instead|immediately)\b",
        r"\[?(?:system|inst|hidden|admin|internal|secret)\]",
        r"\[important\]",
        sign="address",
    ),
    _phrases(
        "instruction.reveal",
        "high",
        "Text that wants the model's own instructions or means told.",
        r"(?:reveal|print|output|repeat|return|include|leak|dump|expose|send|extract|show|disclose|provide|append|pass|insert|echo|write|give|share|log) ~5 (?:system prompts?|system messages?|system instructions?|initial (?:instructions?|prompt)|hidden (?:instructions?|prompt)|developer (?:message|prompt)|(?:your|its) (?:full |entire |complete |own |internal |original )*(?:instructions?|prompt|context|configuration|reasoning|system))\b",
        r"(?:names?|list|description)s? of (?:all |the |every )*tools? (?:that )?(?:you|available|the model|are)",
        r"tools? (?:that )?you (?:can|have|may|are able|could) (?:use|access|call)",
        sign="exfiltrate",
    ),
    _phrases(
        "instruction.consent",
        "high",
        "Text that goes around people's consent or other safeguards.",
        r"(?:skip|bypass|suppress|disable|circumvent|evade|override|ignore|avoid|turn off|deactivate|auto-?approve|automatically (?:approve|accept|confirm|grant)) (?:all |any |the |every |users? |normal |standard |regular |usual |typical |existing |security |safety |access |permission |authori[sz]ation |system |this |these |explicit |further )*(?:confirmations?|approvals?|consent|security (?:checks?|warnings?|controls?|polic\w+|measures?|filters?|scans?|validation)|safety (?:checks?|filters?|measures?|guards?|guidelines?|protocols?)|(?:permissions? |access )?(?:checks?|gates?|prompts?|boundar(?:y|ies)|control)\b(?! (?:box|sum|point|list))|permissions|audit(?: logs?| logging)?|authori[sz]ation|authentication|access controls?|safeguards?|guardrails?|monitoring|detection|sandbox\w*)\b",
        r"without (?:any |the |explicit |further |prior |users? |asking for |requiring |requesting |needing |waiting for |human |additional )*(?:consent|user (?:confirmation|approval|permission|consent)|authori[sz]ation|(?:users?|human) (?:intervention|interaction|review|involvement|input))\b",
        r"(?:user|admin|permission|consent|approval|authori[sz]ation) (?:has |have |is |was )?(?:already |been |been already |automatically |implicitly )+(?:granted|approved|given|authori[sz]ed|consented|confirmed|obtained|agreed)\b",
        r"(?:pre-?approved|pre-?authori[sz]ed|implicitly (?:approved|authori[sz]ed|trusted))",
        r"(?:no|not) (?:need (?:to|for)|require\w*|necessary to) ~3 (?:ask|confirm\w*|approval|permission|consent|verif\w+)\b ~4(?:user|human|permission|first|before)?",
        sign="consent",
    ),
    _phrases(
        "instruction.order",
        "medium",
        "Text that orders calls: honest servers do that among their own tools.",
        r"(?:must|always|should|required to|need to|have to|please|first) (?:be )?{CALL} ~3 (?:this|tool|function|first|before|it)\b",
        r"(?:before|prior to|after|when|whenever|once) {CALL} (?:this|the|any|that) ~3 (?:tool|function|command)",
        r"(?:before|prior to) (?:{CALL}|executing|performing|doing) ",
        r"{CALL} this (?:tool|function) (?:first|before|immediately|whenever|every|each|after|instead|only|always)",
        r"(?:immediately|automatically|proactively) {CALL} ",
        sign="order",
    ),
    _phrases(
        "instruction.threat",
        "medium",
        "Text that threatens a failure unless the model complies.",
        r"(?:otherwise|or else|if not|failure to|failing to|unless)\b ~9 (?:not work|fail|crash\w*|break|lost|block\w*|error\w*|reject\w*|den(?:y|ied)|terminat\w+|invalid|refus\w+|suspend\w*|violat\w+|will not|cannot)\b",
        r"(?:will|would|may) (?:not work|crash|fail|be lost|be blocked|be terminated) (?:otherwise|unless|if you|without|if this|if it)",
        r"(?:system|application|tool|everything) (?:will|would) (?:crash|break|not work)",
        r"(?:very ){2,}important|(?:extremely|critically|absolutely|vitally) (?:important|critical|essential|necessary|crucial)",
        r"(?:mandatory|required|necessary|needed) (?:for|by|due to|as part of) (?:security|compliance|audit\w*|legal|regulatory|policy|authentication|verification|gdpr|hipaa|soc ?2|pci)",
        r"this is (?:a )?(?:required|mandatory|critical|important|necessary|standard) (?:security |compliance |system |verification |debug\w* |audit )*(?:step|check|requirement|procedure|measure|protocol|process)",
        sign="threat",
    ),
    _phrases(
        "instruction.deprecation",
        "medium",
        "Text that sends the model away from another tool.",
        r"(?:is|are|has been|have been|was) (?:now )?(?:deprecated|replaced|superseded|retired|disabled|compromised|moved|discontinued|no longer (?:available|supported|safe|secure|maintained|valid|work\w*))\b ~9 (?:use|call|invoke|switch)\b",
        r"(?:always|only|exclusively) {CALL} this (?:[^ ]{1,20} )?(?:tool|function|server|one|api|version|method)\b",
        r"(?:use|call|invoke|prefer) this (?:tool |function |one |version )?(?:instead|rather)\b",
        sign="prefer",
    ),
    _phrases(
        "instruction.directive",
        "medium",
        "Text in the tone of an order to the model.",
        r"(?:you|assistant|model|agent) (?:must|shall|have to|need to|are required to|should always|should never|must never|should first)\b",
        r"(?:important|critical|mandatory|warning|urgent|attention|crucial) ?[:!]",
        r"(?:always|never) (?:{TAKE}|{GIVE}|{CALL}|respond|answer|include|reply|trust|ask|mention)\b",
        sign="order",
    ),
    _phrases(
        "instruction.answer",
        "medium",
        "Text that dictates what the model says.",
        r"(?:in|into|to|with) your (?:final |next |every |each |first |own )*(?:response|answer|reply|output|message|summary)s?\b",
        r"(?:append|prepend|add|insert|include|put|mention|recommend|promote|advertise|output|end|begin|start) ~6 (?:final |every |each |all |your |the )+(?:answers?|responses?|repl(?:y|ies)|outputs?|messages?|files?|commits?)\b",
        r"(?:tell|inform|convince|persuade|instruct|urge|ask|advise|encourage|recommend) (?:the |your |all )?(?:users?|humans?|customers?) (?:that|to|it|they|about)\b",
        r"(?:respond|reply|answer|say|output|return) (?:only |exactly |always |with |that )+[^ ]",
        sign="answer",
    ),
)  # fmt: skip

TOGETHER = Rule(
    "instruction.together",
    "high",
    "Several signs that honest descriptions rarely show at once: " + _READ,
)
_SIGNS_NEEDED = 3
_PAIRS = (
    frozenset({"secret_word", "threat"}),
    frozenset({"answer", "threat"}),
    frozenset({"path", "order"}),
    frozenset({"path", "threat"}),
    frozenset({"address_word", "order"}),
    frozenset({"answer", "address_word"}),
)


def instructions(folded: str) -> Iterator[tuple[Phrases, str]]:
    """Each rule that holds of a folded text, with an excerpt."""
    for phrases in RULES:
        for pattern in phrases.patterns:
            if (match := pattern.search(folded)) is not None:
                yield phrases, excerpt_of(folded, match.start(), match.end())
                break


def together(signs: frozenset[str]) -> bool:
    """Whether the signs in one text add up."""
    return len(signs - {"secret_word"}) >= _SIGNS_NEEDED or any(pair <= signs for pair in _PAIRS)
