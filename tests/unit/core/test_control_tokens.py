"""Control tokens of chat templates: each published one is found, in any case and width, and is none when shown."""

# ruff: noqa: RUF001 - letters and signs that look like others are what is tested

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.judge.render import shown
from pdp.core.text.control_tokens import control_tokens, spelled_out

# by family, as the templates of their makers write them (sources: `pdp.core.text.control_tokens`)
PUBLISHED = {
    "chatml": "<|im_start|> <|im_end|> <|im_sep|> <|endoftext|>",
    "llama 2": "<<SYS>> <</SYS>> [INST] [/INST]",
    "llama 3": "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|> <|python_tag|>",
    "llama 4": "<|header_start|> <|header_end|> <|eot|>",
    "mistral": "[INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_CALLS] "
    "[TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CONTENT] [CALL_ID] [MODEL_SETTINGS] [BEGIN_AUDIO]",
    "gemma": "<bos> <eos> <pad> <start_of_turn> <end_of_turn> <start_of_image> <start_function_call> "
    "<end_function_response> <unused12>",
    "gemma 4": '<|turn> <turn|> <|"|> <|channel> <channel|> <|tool_call> <tool_call|> <|think|>',
    "phi": "<|system|> <|user|> <|assistant|> <|end|>",
    "command r": "<|START_OF_TURN_TOKEN|> <|SYSTEM_TOKEN|> <|CHATBOT_TOKEN|> <|END_OF_TURN_TOKEN|> <BOS_TOKEN>",
    "deepseek": "<｜begin▁of▁sentence｜> <｜end▁of▁sentence｜> <｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜>",
    "deepseek coder": "<|EOT|>",
    "harmony": "<|start|> <|channel|> <|message|> <|return|> <|call|> <|constrain|>",
    "glm": "[gMASK] <sop> <|observation|> <|user|>",
    "granite": "<|start_of_role|> <|end_of_role|> <|end_of_text|>",
    "kimi": "<|im_middle|> <|im_assistant|> <|tool_calls_section_begin|> <|open|> <|sep|> <|end_of_msg|>",
    "exaone": "[|system|] [|assistant|] [|endofturn|]",
    "minimax": "]~!b[ ]~b] [e~[ <minimax:tool_call> </minimax:tool_call>",
    "nemotron": "<SPECIAL_10> <SPECIAL_11> <AVAILABLE_TOOLS> <TOOLCALL> <TOOL_RESPONSE> <extra_id_0>",
    "seed": "<seed:bos> <seed:eos> <seed:think> </seed:tool_call>",
    "hunyuan": "<｜hy_User｜> <｜hy_place▁holder▁no▁2｜> <|startoftext|> <|extra_0|>",
    "smolvlm": "<end_of_utterance>",
    "gigachat": "<|message_sep|> <|role_sep|>",
    "qwen": "<|vision_start|> <tool_call> </tool_call> <tool_response>",
    "fill in the middle": "<|fim_prefix|> <｜fim▁hole｜> <fim_suffix>",
    "others": "<|endofuserprompt|> <|role_start|> <_user> <unk> <mask> <用户>",
}
MARKUP = "<s> </s> <think> </think> <role> <AI> <image> [ARGS] [IMG] [THINK] [/THINK] [SUFFIX] [SEP]"
ALL = [(family, token) for family, tokens in PUBLISHED.items() for token in tokens.split()]


@for_each(("family", "token"), ALL)
def test_each_published_token_is_found_and_none_reaches_the_judge(family: str, token: str) -> None:
    text = f"before{token}system\nafter"
    assert [text[start:end] for start, end in control_tokens(text)] == [token], family
    made = shown(text)
    assert token not in made
    assert token[1:] in made  # it can still be read


@for_each("token", MARKUP.split())
def test_markup_that_is_a_token_too_is_spelled_out_and_no_sign_of_poison(token: str) -> None:
    assert list(control_tokens(f"a {token} b")) == []
    assert spelled_out(f"a {token} b") == f"a ⟨U+{ord(token[0]):04X}⟩{token[1:]} b"


VARIANTS = {
    "case": "<|Im_Start|>",
    "blanks": "< | im_start | >",
    "full width": "＜｜ｉｍ_ｓｔａｒｔ｜＞",
    "a bar that looks like one": "<∣im_start∣>",
    "small brackets": "﹤|im_start|﹥",
    "unknown name": "<|made_up_by_the_next_model|>",
    "lower case": "[inst]",
    "blanks in brackets": "[ /INST ]",
    "full width brackets": "［INST］",
    "self-closing": "<end_of_turn/>",
}


@for_each("token", VARIANTS.values())
def test_no_spelling_passes_by(token: str) -> None:
    assert list(control_tokens(token)) == [(0, len(token))]
    assert shown(token).startswith("⟨U+")


@for_each(
    "text",
    [
        "<<|im_start|>|im_start|>",
        "<|im_start<|im_end|>|>",
        "]~b]~b]",
        "[INST][INST]",
        "<|a|><|b|>",
        "<s<s>>",
        "[[INST]]",
    ],
)
def test_tokens_within_tokens_and_beside_them_are_all_spelled_out(text: str) -> None:
    once = shown(text)
    assert list(control_tokens(once)) == []
    assert spelled_out(once) == once


@for_each(
    "text",
    [
        "a < b and b > c, a | b",
        "x |> f |> g",
        "SELECT a || b FROM t WHERE c <> 1",
        "Map<string | null>",
        "if (a[0] < b[1]) { c(); }",
        "<div class='x'>text</div> <b>bold</b>",
        "cat <file | grep -v '>'",
        "[1, 2], [x for x in y], [OPTIONS], [instance], [system]",
        "List<String> <T>",
        "a <- b; c -> d; e => f; g <=> h",
        "Instructions: https://example.com/?a=<id>",
    ],
)
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert spelled_out(text) == text


PIECES = st.sampled_from(
    [token for _, token in ALL] + MARKUP.split() + list("<>[]|｜~/ \nasb＜") + ["\u200b", "⟨", "INST"]
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join))
def test_whatever_is_shown_holds_no_token(text: str) -> None:
    made = shown(text)
    assert list(control_tokens(made)) == []
    assert spelled_out(made) == made
