"""Beam search beside transformers' own call on the same prompts, in one run.

Both caption the same embeddings with the same retrieved captions, weights and beams, in
the precision that this CPU is fastest in. The reference reads each prompt once a beam,
copies all that was read at every token, goes on with finished clips until the last is
done, and leaves the language model's head as it is. Printed as a Markdown table.

    python benchmarks/beam_search.py [--clips N] [--beams N]
"""

import argparse
import time
from collections.abc import Callable

import torch
from tabulate import tabulate

from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import pad
from drcap.config import GenerationConfig, override
from drcap.devices import fastest_dtype
from drcap.environment import hush
from drcap.load import load_clap
from drcap.retrieval.default import default_captions
from drcap.systems.drcap import SHIPPED, DRCap

SIMILAR = 3  # captions in a prompt


@torch.inference_mode()
def reference(
    captioner: Captioner,
    embeddings: torch.Tensor,
    similar: list[list[str]],
    config: GenerationConfig,
) -> list[str]:
    """Caption all prompts as one batch, as transformers does when nobody interferes."""
    end_id = captioner.prompts.end_id
    prompts = [captioner.prompts.prompt(texts) for texts in similar]
    ids, mask = pad([prompt.ids for prompt in prompts], end_id, "left")
    slots = ids.shape[1] - mask.sum(1) + torch.tensor([p.slot for p in prompts])
    tokens = captioner.causal_lm().generate(
        inputs_embeds=captioner.embed(ids, slots, embeddings),
        attention_mask=mask,
        num_beams=config.num_beams,
        max_new_tokens=config.max_new_tokens,
        do_sample=False,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]


def seconds(caption: Callable[..., list[str]], *arguments) -> tuple[float, list[str]]:
    """Return how long a call took, and its captions."""
    started = time.perf_counter()
    captions = caption(*arguments)
    return time.perf_counter() - started, captions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--beams", type=int, default=4)
    options = parser.parse_args()
    hush()
    captions = default_captions(options.clips * (SIMILAR + 1), seed=0)
    embeddings = load_clap().encode_text(captions[: options.clips])
    rest = captions[options.clips :]
    similar = [rest[row :: options.clips] for row in range(options.clips)]
    config = override(
        GenerationConfig(),
        {"num_beams": options.beams, "batch_size": options.clips},
    )
    model = DRCap.from_pretrained(SHIPPED, device="cpu").captioner
    dtype = fastest_dtype(torch.device("cpu"))
    model.causal_lm().to(dtype)
    arguments = (model, embeddings, similar, config)
    generate(*arguments)  # warm
    ours, found = seconds(generate, *arguments)
    model.causal_lm().get_output_embeddings()._forward_pre_hooks.clear()
    plain, expected = seconds(reference, *arguments)

    same = sum(a == b for a, b in zip(found, expected, strict=True))
    print(f"{options.clips} clips, {options.beams} beams, {dtype},")
    print(f"{torch.get_num_threads()} threads; {same} captions the same\n")
    rows = [
        ("generate", ours / options.clips),
        ("transformers alone", plain / options.clips),
    ]
    print(tabulate(rows, ["what", "seconds a clip"], "github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
