"""The playground: one recording, captioned anew whenever a switch is moved.

`caption_with` is one pass (sec. II) with all that its caption stands on; `panel` moves
its settings by widgets, in JupyterLab or by voila. The captions of the datastore are
the text embedding support, too.
"""

import copy
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import pandas as pd
import soundfile
import torch
import traitlets
from IPython.display import Audio, Markdown, display
from IPython.utils.capture import capture_output

from drcap import audio, notebook, plots
from drcap.config import override
from drcap.errors import DRCapError
from drcap.projection import top_support
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.similarity_selection import select_similar
from drcap.systems.base import SILENCE
from drcap.systems.drcap import DRCap

HEAVIEST = 8  # captions of the support that are listed


def caption_with(
    model: DRCap,
    audio_embed: torch.Tensor,
    datastore: CaptionDatastore,
    changes: Mapping[str, Mapping],
    drawn: bool = False,
) -> tuple[str, pd.DataFrame]:
    """Caption an audio embedding with changed settings, and list what it stands on.

    audio_embed : (D,), unit norm, or zeros for silence      changes : as in `override`
    datastore : captions that are retrieved from and projected onto
    drawn : the prompt's captions are drawn by similarity selection, as in training
    returns : the caption; the captions of the prompt and the HEAVIEST of the support,
        with similarity to the recording and weight in eq. 4

    ConfigError for an impossible setting, or where no caption is left to lean on.
    """
    model = model.adjusted(override(model.config, dict(changes)))
    query, retrieval = audio_embed[None], model.config.retrieval
    if not query.any():
        return SILENCE, pd.DataFrame()
    support = datastore.embeddings  # S in eq. 4, (N, D)
    tau = model.config.projection.temperature or model.clap.temperature
    weights, rows = top_support(query, support, tau, len(support))
    similar = [[]]
    if retrieval.enabled and drawn:
        limits = {"sim_min": retrieval.sim_min, "sim_max": retrieval.sim_max}
        limits |= {"k": retrieval.top_k, "progress": False}
        similar = select_similar(query, datastore, **limits)
    elif retrieval.enabled:
        similar = datastore.search(query, retrieval.top_k)
    [caption] = model.decode(query, similar, support, datastore)
    table = pd.DataFrame({"caption": [datastore.captions[row] for row in rows[0]]})
    prompt = table["caption"].isin([match.caption for match in similar[0]])
    table["in the prompt"] = np.where(prompt, "yes", "")
    table["similarity"] = (support @ query[0].numpy())[rows[0]]
    table["weight"] = weights[0] if model.config.projection.enabled else np.nan
    return caption, table[prompt | (table.index < HEAVIEST)]


def edited(
    datastore: CaptionDatastore, model: DRCap, added: str, dropped: str, kept: bool
) -> CaptionDatastore:
    """Return a copy of a datastore with captions, one a line, added and left out.

    kept : with the datastore's other captions; False: those added alone
    """
    if not kept:
        return CaptionDatastore.build(added.splitlines(), model.clap, progress=False)
    own = copy.copy(datastore)  # an edit replaces its arrays, it writes into none
    own.remove(dropped.splitlines())
    own.add(added.splitlines(), model.clap, progress=False)
    return own


class Interactive(widgets.interactive):
    """Controls, and beneath them what a function shows for their values.

    The output comes whole, in one message. ipywidgets itself sends it piece by piece;
    voila answers each, misses the cell's end meanwhile, and the page never completes.
    An error is shown in the output's place.
    """

    def update(self, *_) -> None:
        values = {w._kwarg: w.get_interact_value() for w in self.kwargs_widgets}
        with capture_output() as shown:
            try:
                self.f(**values)
            except DRCapError as error:
                print(error)
            except Exception:
                traceback.print_exc(file=sys.stdout)
        printed = {"output_type": "stream", "name": "stdout", "text": shown.stdout}
        rich = [
            {"output_type": "display_data", "data": o.data, "metadata": o.metadata}
            for o in shown.outputs
        ]
        self.out.outputs = (*rich, printed) if shown.stdout else tuple(rich)


class Recorder(anywidget.AnyWidget):
    """A button that records from the microphone, where the browser allows it."""

    _esm = Path(__file__).with_suffix(".js")
    sr = traitlets.Int().tag(sync=True)  # of `samples`, Hz
    samples = traitlets.Bytes(b"").tag(  # mono float32
        sync=True, from_json=lambda buffer, widget: bytes(buffer)
    )


def panel(
    model: DRCap, datastore: CaptionDatastore, recordings: Sequence[Path]
) -> widgets.VBox:
    """Return the controls, and beneath them what they make of the recording."""
    sr, config = model.clap.sr, model.config
    embed = lru_cache(64)(model.embed)
    collection = lru_cache(4)(lambda *edits: edited(datastore, model, *edits))
    folder = tempfile.TemporaryDirectory(prefix="drcap-panel-")

    def show(recording, top_k, beams, tau, add, leave_out, keep_others, **switches):
        changes = {
            "retrieval": {"enabled": switches["retrieval"], "top_k": top_k},
            "projection": {"enabled": switches["projection"], "temperature": tau},
            "generation": {"num_beams": beams, "choice": switches["choice"]},
        }
        captions = collection(add, leave_out, keep_others)
        embedding, drawn = embed(recording), switches["similarity_selection"]
        caption, table = caption_with(model, embedding, captions, changes, drawn)
        display(Markdown(f"## {caption}"), notebook.show(table))
        waveform = audio.load(recording, sr)
        display(Audio(waveform, rate=sr))
        display(notebook.picture(plots.plot_clip(waveform, sr, title=recording.name)))

    def take(name: str, write: Callable[[Path], object]) -> None:
        path = Path(folder.name) / f"{len(chosen.options)} {Path(name).name}"
        write(path)
        chosen.options = {path.name: path, **chosen.options}  # chooses the first

    upload, recorder = widgets.FileUpload(), Recorder(sr=sr)
    chosen = widgets.Dropdown(options={path.name: path for path in recordings})
    tau = config.projection.temperature or model.clap.temperature
    controls = Interactive(
        show,
        recording=chosen,
        retrieval=True,
        similarity_selection=False,
        projection=True,
        choice=widgets.Dropdown(
            options=["first_beam", "mbr"], value=config.generation.choice
        ),
        top_k=widgets.IntSlider(config.retrieval.top_k, 0, 10),
        beams=widgets.IntSlider(config.generation.num_beams, 1, 8),
        tau=widgets.FloatLogSlider(tau, min=-3, max=0, readout_format=".3f"),
        add=widgets.Textarea(placeholder="captions to add, one a line"),
        leave_out=widgets.Textarea(placeholder="captions to leave out"),
        keep_others=True,
    )
    *switches, result = controls.children
    for switch in switches:
        switch.description = switch.description.replace("_", " ")
        switch.continuous_update = False

    def uploaded(change) -> None:
        [file] = change.new
        take(file["name"], lambda path: path.write_bytes(file["content"]))

    def recorded(change) -> None:
        samples = np.frombuffer(change.new, np.float32)
        take("microphone.wav", lambda path: soundfile.write(path, samples, sr))

    upload.observe(uploaded, "value")
    recorder.observe(recorded, "samples")
    wrapped = widgets.Layout(flex_flow="row wrap")
    rows = widgets.HBox([upload, recorder, *switches], layout=wrapped)
    return widgets.VBox([rows, result])
