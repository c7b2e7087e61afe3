"""What each notebook writes under reports/<profile>/; the run graph's outputs."""

TABLES = {
    "00_quickstart": ("quickstart_captions",),
    "01_clap_training": ("realism", "overlap", "clap_retrieval", "leakage"),
    "02_modality_gap": ("modality_gap", "bridges"),
    "03_text_only_training": ("training_runs",),
    "04_captioning_and_adaptation": ("recordings", "adaptation"),
}
FIGURES = {
    "00_quickstart": ("quickstart_clip",),
    "01_clap_training": ("clap_training", "clap_retrieval"),
    "02_modality_gap": ("modality_gap", "gap_over_training"),
    "03_text_only_training": ("training_loss", "learning_collapse"),
    "04_captioning_and_adaptation": ("ablation_switches",),
}
NOTEBOOKS = tuple(TABLES)  # in reading order


def outputs(notebook: str) -> list[str]:
    """Return the files a notebook writes, relative to its profile's reports folder."""
    tables = [f"tables/{name}" for name in TABLES[notebook]]
    return [
        *(table + suffix for table in tables for suffix in (".csv", ".md")),
        *(f"figures/{name}.png" for name in FIGURES[notebook]),
        f"runs/{notebook}/run.json",
    ]
