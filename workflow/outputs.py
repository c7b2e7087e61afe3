"""What each notebook writes under reports/<profile>/; the run graph's outputs."""

TABLES = {
    "00_quickstart": ("quickstart_captions",),
    "01_clap_training": ("realism", "overlap", "clap_retrieval", "leakage"),
    "02_modality_gap": ("modality_gap", "bridges"),
    "03_text_only_training": ("training_runs",),
    "04_captioning_and_adaptation": ("recordings", "adaptation"),
    "05_main_results": ("test_leakage",),
    "06_ablation_similarity_selection": (
        "similarity_selection",
        "learning_collapse",
        "similarity_range",
        "similarity_selection_sweep",
    ),
    "07_ablation_rag": ("rag", "prompt_origins", "retrieval_alone", "rag_switched_off"),
    "08_ablation_lora": ("lora", "lora_weights", "lora_lengths"),
    "09_ablation_projection": ("projection", "projection_gap", "projection_sweep"),
    "10_ablation_target_domain": (
        "target_domain",
        "target_domain_prompts",
        "target_domain_style",
    ),
    "11_baselines": ("wsac_bridges", "costs"),
    "12_report": ("verdicts",),
}
FIGURES = {
    "00_quickstart": ("quickstart_clip",),
    "01_clap_training": ("clap_training", "clap_retrieval"),
    "02_modality_gap": ("modality_gap", "gap_over_training"),
    "03_text_only_training": ("training_loss", "learning_collapse"),
    "04_captioning_and_adaptation": ("ablation_switches",),
    "05_main_results": ("main_results",),
    "06_ablation_similarity_selection": (
        "similarity_selection",
        "collapse_losses",
        "captions_in_range",
        "similarity_selection_sweep",
    ),
    "07_ablation_rag": ("rag", "prompt_origins", "rag_gain"),
    "08_ablation_lora": ("lora", "lora_losses"),
    "09_ablation_projection": (
        "projection",
        "projection_temperature",
        "projection_support",
    ),
    "10_ablation_target_domain": ("target_domain", "target_domain_origins"),
    "11_baselines": ("shared_lm",),
    "12_report": ("ablations",),
}
PAGES = {"12_report": ("claims",)}  # tables with a page of their own
NOTEBOOKS = tuple(TABLES)  # in reading order


def outputs(notebook: str) -> list[str]:
    """Return the files a notebook writes, relative to its profile's reports folder."""
    names = (*TABLES[notebook], *PAGES.get(notebook, ()))
    tables = [f"tables/{name}" for name in names]
    return [
        *(table + suffix for table in tables for suffix in (".csv", ".md")),
        *(f"figures/{name}.png" for name in FIGURES[notebook]),
        f"runs/{notebook}/run.json",
    ]
