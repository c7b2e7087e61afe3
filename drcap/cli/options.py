"""Options that the commands share, and what they mean to a captioner."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drcap.errors import ConfigError

if TYPE_CHECKING:
    from drcap.clap import CLAP
    from drcap.pipeline import DRCap

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        metavar="DIR", help="A trained captioner.", show_default="the shipped one"
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Datastore = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Datastore to retrieve similar captions from.",
        show_default="AudioCaps' training captions",
    ),
]
Support = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Datastore to project audio embeddings onto.",
        show_default="AudioCaps' training captions",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=0, help="Similar captions in the prompt.", show_default="the captioner's"
    ),
]
Beams = Annotated[
    int | None,
    typer.Option(
        min=1, help="Beams of the beam search.", show_default="the captioner's"
    ),
]
NoRetrieval = Annotated[
    bool, typer.Option("--no-retrieval", help="Prompt without similar captions.")
]
NoProjection = Annotated[
    bool, typer.Option("--no-projection", help="Use audio embeddings as they are.")
]


@dataclass(frozen=True)
class CaptionOptions:
    """How to caption, as the command line says it.

    captions : a file that serves as datastore and support; excludes the two folders
    """

    datastore: Path | None
    support: Path | None
    top_k: int | None
    beams: int | None
    no_retrieval: bool
    no_projection: bool
    captions: Path | None = None

    def __post_init__(self):
        given = {
            "--captions": self.captions,
            "--datastore": self.datastore,
            "--support": self.support,
            "--no-retrieval": self.no_retrieval,
            "--no-projection": self.no_projection,
        }
        for first, second in (
            ("--captions", "--datastore"),
            ("--captions", "--support"),
            ("--datastore", "--no-retrieval"),
            ("--support", "--no-projection"),
        ):
            if given[first] and given[second]:
                raise ConfigError(f"{first} and {second} exclude each other: drop one")

    def settings(self, clap: "CLAP") -> dict[str, Any]:
        """Return the keywords of `DRCap.caption_stream`; None leaves it the choice."""
        from drcap.data.captions import read_captions
        from drcap.retrieval import CaptionDatastore

        def load(folder: Path | None) -> CaptionDatastore | None:
            return CaptionDatastore.load(folder, clap) if folder else None

        datastore, support = load(self.datastore), load(self.support)
        if self.captions:
            datastore = CaptionDatastore.build(read_captions(self.captions), clap)
            support = datastore
        return {
            "datastore": datastore,
            "support": support,
            "top_k": self.top_k,
            "num_beams": self.beams,
            "retrieval": False if self.no_retrieval else None,
            "projection": False if self.no_projection else None,
        }


def load_model(checkpoint: str | None, device: str) -> "DRCap":
    """Load a captioner, keeping the libraries' own messages and bars off the screen."""
    from drcap.messages import hush
    from drcap.pipeline import DRCap

    hush()
    return DRCap.from_pretrained(checkpoint, device=device)
