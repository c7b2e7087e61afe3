import pytest
from transformers import AutoTokenizer

from drcap.captioner.prompt import PromptBuilder, pad
from drcap.config import CaptionerConfig

INSTRUCTION = "USER : Describe the audio you hear . ASSISTANT :"


@pytest.fixture
def tokenizer(language_model):
    return AutoTokenizer.from_pretrained(language_model)


@pytest.fixture
def written(tokenizer):
    """Write a prompt as words, with <audio> in its slot."""

    def written(similar_captions, **settings):
        builder = PromptBuilder(tokenizer, CaptionerConfig(**settings))
        prompt = builder.prompt(similar_captions)
        words = tokenizer.convert_ids_to_tokens(prompt.ids)
        words[prompt.slot] = "<audio>"
        return " ".join(words)

    return written


LAYOUTS = [
    (
        {},
        ["A dog is heard", "Rain makes a sound"],
        "<bos> A dog is heard . Rain makes a sound . <eos> <audio> <bos> USER : ",
    ),
    ({}, [], "<bos> <eos> <audio> <bos> USER : "),
    (
        {"audio_token": "first"},  # the order of the paper's formula
        ["A dog is heard"],
        "<audio> <bos> A dog is heard . <eos> <bos> USER : ",
    ),
    ({"audio_token": "first"}, [], "<audio> <bos> <eos> <bos> USER : "),
]


@pytest.mark.parametrize(("settings", "captions", "expected"), LAYOUTS)
def test_a_prompt_holds_captions_audio_and_instruction(
    written, settings, captions, expected
):
    prompt = written(captions, **settings)
    assert prompt == expected.removesuffix("USER : ") + INSTRUCTION


def test_each_caption_ends_with_one_full_stop(written):
    plain = written(["A dog is heard", "Rain is heard"])
    assert written(["A dog is heard.", "Rain is heard... "]) == plain


def test_the_instruction_is_a_setting(written):
    assert written([], instruction="the dog .").endswith("USER : the dog . ASSISTANT :")


def test_a_tokenizer_without_a_start_token_gives_none(written, tokenizer):
    tokenizer.bos_token = None
    expected = f"A dog is heard . <eos> <audio> {INSTRUCTION}"
    assert written(["A dog is heard"]) == expected


def test_a_target_is_the_caption_and_the_end_token(tokenizer):
    target = PromptBuilder(tokenizer, CaptionerConfig()).target("A dog is heard")
    assert tokenizer.convert_ids_to_tokens(target) == "A dog is heard <eos>".split()


def test_rows_are_padded_on_either_side_and_only_padding_is_masked():
    rows = [[5, 6, 7], [9]]  # 9 is a token that equals the padding
    left, right = (
        [tensor.tolist() for tensor in pad(rows, 9, side)] for side in ("left", "right")
    )
    assert left == [[[5, 6, 7], [9, 9, 9]], [[1, 1, 1], [0, 0, 1]]]
    assert right == [[[5, 6, 7], [9, 9, 9]], [[1, 1, 1], [1, 0, 0]]]
    assert pad([[1, 2], [3]], 0, "left")[0].tolist() == [[1, 2], [0, 3]]


# the two styles, letter by letter


@pytest.fixture
def letters():
    """A tokenizer of letters that cuts as Llama's: a text begins with a blank."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = dict.fromkeys([*map(chr, range(32, 127)), "\n", "_", "<s>", "</s>", "<u>"])
    vocabulary = {letter: number for number, letter in enumerate(known)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<u>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("_"), normalizers.Replace(" ", "_")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<u>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


REQUEST = "USER:_Describe_the_audio_you_hear."
STYLES = [
    (
        "ours",
        ["A dog.", "Rain"],
        f"<s>_A_dog._Rain.</s><a><s>_{REQUEST}\n_ASSISTANT:",
        "__Wind</s>",
    ),
    (
        "authors",
        ["A dog.", "Rain"],
        f"<s>_A_dog.._Rain._</s><a><s>_{REQUEST}_\n_ASSISTANT:",
        "Wind</s>",
    ),
    ("authors", [], f"<s></s><a><s>_{REQUEST}_\n_ASSISTANT:", "Wind</s>"),
]


@pytest.mark.parametrize(("style", "captions", "prompt", "target"), STYLES)
def test_a_style_letter_by_letter(letters, style, captions, prompt, target):
    builder = PromptBuilder(letters, CaptionerConfig(style=style))
    layout = builder.prompt(captions)
    spelled = letters.convert_ids_to_tokens(layout.ids)
    spelled[layout.slot] = "<a>"
    assert "".join(spelled).replace("<s>_</s>", "<s></s>") == prompt
    ids = builder.target("Wind")
    assert "".join(letters.convert_ids_to_tokens(ids)) == target
