"""Figures of training logs: losses, learning rate and recall."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drcap.plots.style import COLOURS, THOUSANDS, headline, panels, styled


@styled
def plot_training(log: pd.DataFrame, title: str = "") -> Figure:
    """Show a log: losses, CLAP's recall on validation clips, and the learning rate.

    log : columns step, train_loss (CLAP's: loss), learning_rate, and, NaN between
        validations, validation_loss and CLAP's recall_at_10
    """
    is_clap = "recall_at_10" in log
    heights = (3, 2, 1) if is_clap else (3, 1)
    figure, (loss, *between, rate) = plt.subplots(
        *(len(heights), 1), figsize=(7.2, 4.9), sharex=True, height_ratios=heights
    )
    measured = log.dropna(subset="validation_loss")
    steps = log.rename(columns={"loss": "train_loss"}).dropna(subset="train_loss")
    smooth = _draw_loss(loss, steps["step"], steps["train_loss"], measured)
    for axes in between:
        recall = measured["recall_at_10"]
        axes.plot(measured["step"], recall, ".-", color=COLOURS[2])
        axes.set(ylabel="R@10, audio to text", ylim=(0, 1))
        axes.grid(axis="y")
        first, last = recall.iloc[[0, -1]]
        title = title or f"R@10 on validation clips goes from {first:.2f} to {last:.2f}"
    if len(measured) and not is_clap:
        best = measured.loc[measured["validation_loss"].idxmin()]
        loss.plot(best.step, best.validation_loss, "*", color=COLOURS[3], markersize=14)
        lowest = f"{best.validation_loss:.3f}, at step {best.step:,.0f}"
        title = title or f"Validation loss is lowest, {lowest}"
    top = max(smooth.quantile(0.98), measured["validation_loss"].max()) * 1.08
    name = "Contrastive loss (nats)" if is_clap else "Loss (nats per token)"
    loss.set(ylabel=name, title=title or "Training loss")
    loss.set_ylim(top=top)  # the first, untrained steps would flatten the rest
    rate.plot(steps["step"], steps["learning_rate"], color=COLOURS[5])
    rate.set(xlabel="Step", ylabel="Learning rate", ylim=(0, None))
    rate.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate.xaxis.set_major_formatter(THOUSANDS)
    rate.grid(axis="y")
    return figure


def _draw_loss(
    axes: Axes, steps: pd.Series, losses: pd.Series, measured: pd.DataFrame
) -> pd.Series:
    """Draw losses, their running mean, which is returned, and those of validation."""
    width = max(1, len(losses) // 50)
    smooth = losses.rolling(width, min_periods=1).mean()
    axes.plot(steps, losses, color=COLOURS[0], alpha=0.22, linewidth=0.7)
    axes.plot(steps, smooth, label=f"training, mean of {width} steps")
    if len(measured):
        losses = measured["validation_loss"]
        axes.plot(measured["step"], losses, ".-", label="validation")
    axes.legend()
    axes.grid(axis="y")
    return smooth


@styled
def plot_losses(logs: Mapping[str, pd.DataFrame]) -> Figure:
    """Show training against validation loss, a panel a run, on one scale.

    logs : run -> its log, with columns step, train_loss and validation_loss (NaN
        between validations)
    """
    figure, row = panels(len(logs), 3.6, sharey=True)
    gaps = []
    for axes, (name, log) in zip(row, logs.items(), strict=True):
        measured = log.dropna(subset="validation_loss")
        smooth = _draw_loss(axes, log["step"], log["train_loss"], measured)
        gap = measured["validation_loss"].iloc[-1] - smooth.iloc[-1]
        gaps.append(f"{gap:.2f} ({name})")
        axes.set(xlabel="Step", title=name)
        axes.xaxis.set_major_formatter(THOUSANDS)
    row[0].set_ylabel("Loss (nats per token)")
    return headline(figure, f"Validation loss less training loss: {', '.join(gaps)}")
