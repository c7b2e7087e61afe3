"""The experiments of Tables I to IV: system x training domain x test domain x ablation.

Nothing runs here. An `Experiment` is one row of a table on one pair of domains, with
one seed. ABLATIONS declares what is changed of the configuration that all of them
share, and TABLES which experiments each of the paper's tables holds, in its order, and
a table of ours in which all systems share one language model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from drcap.errors import ConfigError, check_choice
from drcap.systems import SYSTEMS

DOMAINS = ("ac", "cl")  # AudioCaps and Clotho, or what stands in for them in a profile
SEEN = "drcap_seen"  # the system whose CLAP model has seen the target datasets
BASELINES = {
    name: system.row for name, system in SYSTEMS.items() if name not in ("drcap", SEEN)
}


@dataclass(frozen=True)
class Ablation:
    """What is changed of DRCap.

    training : changes of the configuration that need a captioner of their own
    inference : changes in how the unchanged captioner is used
    target_text : False withholds the target domain's captions at inference, from
        datastore and support
    training_text : False withholds the other domain's captions from training prompts
    refit_range : True moves the similarity range to the quantiles that it cuts off in
        the space of DRCap's own CLAP model
    """

    training: dict[str, Any] = field(default_factory=dict)
    inference: dict[str, Any] = field(default_factory=dict)
    target_text: bool = True
    training_text: bool = True
    refit_range: bool = False


ABLATIONS = {
    "": Ablation(),
    "w/o SS": Ablation(training={"retrieval": {"similarity_selection": False}}),
    "w/o RAG": Ablation(training={"retrieval": {"enabled": False}}),
    "w/o LoRA": Ablation(training={"captioner": {"lora": False}}),
    "w/o TD": Ablation(target_text=False),
    "w/o PD": Ablation(inference={"projection": {"enabled": False}}),
    # ours: both domains' captions are in the training datastore, and that of "w/o SS"
    # holds the very caption that is to be written
    "w/o TD in training, too": Ablation(target_text=False, training_text=False),
    "w/o SS, own caption excluded": Ablation(
        {"retrieval": {"similarity_selection": False, "own_caption": False}}
    ),
    # ours: the range [S_min, S_max], which the paper fixes, for another CLAP model
    "range refitted": Ablation(refit_range=True),
}


@dataclass(frozen=True, order=True)
class Experiment:
    """A system trained on the captions of one domain and tested on another's clips."""

    train: str = "ac"
    test: str = "ac"
    system: str = "drcap"  # key of SYSTEMS
    ablation: str = ""  # key of ABLATIONS
    seed: int = 0

    def __post_init__(self):
        known = {"train": DOMAINS, "test": DOMAINS}
        known |= {"system": SYSTEMS, "ablation": ABLATIONS}
        for name, choices in known.items():
            check_choice(name, getattr(self, name), choices, ConfigError)
        if self.ablation and self.system in BASELINES:
            raise ConfigError(f"{self.system}: has no ablation '{self.ablation}'")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more; got {self.seed}")

    @property
    def clap(self) -> str:
        """Whose CLAP model embeds: DRCap's, unless it has to have seen the targets."""
        return SEEN if self.system == SEEN else "drcap"

    @property
    def training(self) -> "Experiment":
        """The experiment whose captioner this one uses, as named by its training."""
        changes = ABLATIONS[self.ablation]
        trained = changes.training or changes.refit_range or not changes.training_text
        ablation = self.ablation if trained else ""
        return replace(self, test=self.train, ablation=ablation)

    @property
    def name(self) -> str:
        """A name for files, as "drcap_ac_to_cl_wo_pd_seed_0"."""
        ablation = self.ablation.replace("w/o", "wo").replace(",", "")
        ablation = ablation.replace(" ", "_").lower()
        parts = (self.system, self.train, "to", self.test, ablation)
        return "_".join([*filter(None, parts), "seed", str(self.seed)])


@dataclass(frozen=True)
class Table:
    """One of the paper's tables, or ours: which pairs of domains, and which rows."""

    number: str  # as the paper counts them; ours is S
    title: str
    pairs: tuple[tuple[str, str], ...]  # (train, test), in the paper's order
    rows: tuple[str, ...]  # keys of ROWS

    @property
    def cells(self) -> list[tuple[str, str, str]]:
        """(row, train, test) of each; ZerAuCap trains nothing: in-domain alone."""
        cells = ((row, *pair) for pair, row in product(self.pairs, self.rows))
        return [c for c in cells if c[0] != "ZerAuCap" or c[1] == c[2]]

    def experiments(self, seeds: Sequence[int] = (0,)) -> list[Experiment]:
        """Return every experiment that the table's numbers come from."""
        return [row_experiment(*c, seed) for c, seed in product(self.cells, seeds)]


def _rows(setting: str, *without: str) -> tuple[str, ...]:
    rows = [system.row for system in SYSTEMS.values() if system.setting == setting]
    return tuple(row for row in rows if row not in without)


ABLATED = ("DRCap", "w/o SS", "w/o RAG", "w/o LoRA", "w/o TD", "w/o PD")
# the name of a row, the paper's where it has it -> (system, ablation)
ROWS = {system.row: (name, "") for name, system in SYSTEMS.items()} | {
    name: ("drcap", name) for name in ABLATED[1:]
}
OURS = ("WSAC, shared LM", "DRCap, noise")  # zero-shot rows that no paper has
SUPERVISED, ZERO_SHOT = _rows("supervised"), _rows("zero-shot", *OURS)
IN_DOMAIN, CROSS_DOMAIN = (("cl", "cl"), ("ac", "ac")), (("ac", "cl"), ("cl", "ac"))
TABLES = {
    "table1_in_domain": Table("I", "In-domain", IN_DOMAIN, SUPERVISED + ZERO_SHOT),
    "table2_cross_domain": Table(
        *("II", "Cross-domain", CROSS_DOMAIN),
        ("EnCLAP-large", "Prefix AAC", "RECAP", *ZERO_SHOT[1:]),  # without ZerAuCap
    ),
    "table3_ablation_in_domain": Table(
        *("III", "Ablation, in-domain", (("ac", "ac"),)),
        tuple(row for row in ABLATED if row != "w/o TD"),
    ),
    "table4_ablation_cross_domain": Table(
        *("IV", "Ablation, cross-domain", (("ac", "cl"),)), ABLATED
    ),
    "table_shared_lm": Table(
        *("S", "All systems with one CLAP and one language model"),
        IN_DOMAIN + CROSS_DOMAIN,
        SUPERVISED + _rows("zero-shot", "WSAC", "DRCap_LAION") + _rows("floor"),
    ),
}
PAPER_TABLES = tuple(name for name, table in TABLES.items() if table.number != "S")


def named(name: str) -> Experiment:
    """Return the experiment of that `Experiment.name`; ConfigError if there is none."""
    seed = name.rpartition("_")[2]
    for train, test, system, ablation in product(DOMAINS, DOMAINS, SYSTEMS, ABLATIONS):
        if seed.isdecimal() and not (ablation and system in BASELINES):
            experiment = Experiment(train, test, system, ablation, int(seed))
            if experiment.name == name:
                return experiment
    raise ConfigError(
        f"experiment: unknown '{name}'; known are names such as {Experiment().name}"
    )


def row_experiment(row: str, train: str, test: str, seed: int = 0) -> Experiment:
    """Return the experiment behind a row, by the paper's name of it."""
    system, ablation = ROWS[row]
    return Experiment(train, test, system, ablation, seed)


def table_experiments(
    tables: Iterable[str] = TABLES, seeds: Sequence[int] = (0,)
) -> list[Experiment]:
    """Return the distinct experiments of some tables, in their order."""
    experiments = (e for name in tables for e in TABLES[name].experiments(seeds))
    return list(dict.fromkeys(experiments))
