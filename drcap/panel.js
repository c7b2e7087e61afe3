// A button that records from the microphone, for drcap/panel.py: the browser decodes what
// it recorded and resamples it to the CLAP model's rate, so that no codec is needed there.
const raw = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-button record";
  button.textContent = "Record";
  button.disabled = !navigator.mediaDevices; // only on https or on this machine
  el.append(button);
  let recorder = null;

  async function decode(parts) {
    const context = new OfflineAudioContext(1, 1, model.get("sr"));
    const sound = await context.decodeAudioData(await new Blob(parts).arrayBuffer());
    model.set("samples", new DataView(sound.getChannelData(0).slice().buffer));
    model.save_changes();
    button.textContent = "Record again";
  }

  async function start() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: raw });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      decode(parts).catch((error) => (button.textContent = String(error)));
    };
    recorder.start();
    button.textContent = "Stop";
  }

  button.onclick = () => {
    if (recorder?.state === "recording") recorder.stop();
    else start().catch((error) => (button.textContent = String(error)));
  };
}

export default { render };
