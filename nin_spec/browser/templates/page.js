{
  "use strict";
  const started = performance.now();
  const at = (id) => document.getElementById(id);
  const facts = JSON.parse(at("facts").textContent);
  const status = (text) => { at("status").textContent = text; };

  // ------------------------------------------------------------ what the page holds

  const unpacked = async (id) => {
    const text = atob(at(id).textContent);
    const packed = new Uint8Array(text.length);
    for (let k = 0; k < text.length; k++) packed[k] = text.charCodeAt(k);
    at(id).remove();
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  const hasGpu = async () => {
    if (facts.compute !== "webgpu" || !navigator.gpu) return false;
    return (await navigator.gpu.requestAdapter().catch(() => null)) !== null;
  };

  const opened = async () => {
    ort.env.logLevel = "error";
    ort.env.wasm.numThreads = 1; // more need headers of a server
    ort.env.wasm.wasmBinary = (await unpacked("wasm")).buffer;
    const model = await unpacked("model");
    if (await hasGpu()) {
      try {
        return [await ort.InferenceSession.create(model, { executionProviders: ["webgpu", "wasm"] }), "WebGPU"];
      } catch (error) {
        console.warn(`WebGPU can't run the model, WebAssembly does: ${error}`);
      }
    }
    return [await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }), "WebAssembly"];
  };

  // ------------------------------------------------------------ a picture to the network's input, as Pillow does it

  const rounded = (value) => { // halves to the even number, as Python's round
    const floor = Math.floor(value);
    return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
  };

  const scaledSize = (width, height) => {
    const [high, wide] = facts.target;
    if (facts.resize === "stretch") return [wide, high];
    if (width * high >= height * wide) return [Math.floor((width * high) / height), high];
    return [wide, Math.floor((height * wide) / width)];
  };

  // Pillow's antialiased bilinear filter, with its weights of 22 bits (libImaging/Resample.c).
  const weightsOf = (from, to) => {
    const scale = from / to;
    const support = Math.max(scale, 1);
    return Array.from({ length: to }, (_, k) => {
      const centre = (k + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - support + 0.5));
      const last = Math.min(from, Math.trunc(centre + support + 0.5));
      const raw = [];
      for (let x = first; x < last; x++) raw.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) / support)));
      const sum = raw.reduce((a, b) => a + b, 0);
      return [first, raw.map((weight) => Math.trunc(0.5 + (weight / sum) * 4194304))];
    });
  };

  // One axis of an image of `planes` values per pixel: `stride` from one sample to the next, `across` lines beside it.
  const resampled = (image, from, to, lineOf, step, across, planes, made, madeLine, madeStep) => {
    weightsOf(from, to).forEach(([first, weights], k) => {
      for (let line = 0; line < across; line++) {
        for (let c = 0; c < planes; c++) {
          let sum = 2097152;
          let place = lineOf * line + step * first + c;
          for (const weight of weights) {
            sum += image[place] * weight;
            place += step;
          }
          made[madeLine * line + madeStep * k + c] = Math.min(255, Math.floor(sum / 4194304));
        }
      }
    });
    return made;
  };

  const columns = (image, width, height, wide, planes) => {
    const made = new Uint8Array(wide * height * planes);
    return resampled(image, width, wide, width * planes, planes, height, planes, made, wide * planes, planes);
  };

  const rows = (image, width, height, high, planes) => {
    const made = new Uint8Array(width * high * planes);
    return resampled(image, height, high, planes, width * planes, width, planes, made, planes, width * planes);
  };

  // Each pass rounds. Pillow 13 begins with the rows where they shrink much more than the columns, earlier ones never.
  const resized = (image, width, height, wide, high, planes) => {
    if (wide === width && high === height) return image;
    if (wide === width) return rows(image, width, height, high, planes);
    if (high === height) return columns(image, width, height, wide, planes);
    if (facts.rows_first && high < height && height - high > 2 * (width - wide)) {
      return columns(rows(image, width, height, high, planes), width, high, wide, planes);
    }
    return rows(columns(image, width, height, wide, planes), wide, height, high, planes);
  };

  // Transparency is dropped, as in training. A canvas would drop the colours under it, too; a texture keeps them.
  const transparentColours = (bitmap, format) => {
    const gl = new OffscreenCanvas(1, 1).getContext("webgl");
    if (format === "image/gif" || !gl || Math.max(bitmap.width, bitmap.height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
      throw new Error("it is transparent, and this browser can't read its colours: save it without transparency");
    }
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const data = new Uint8Array(4 * bitmap.width * bitmap.height);
    gl.readPixels(0, 0, bitmap.width, bitmap.height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    const failed = gl.getError();
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    if (failed) throw new Error(`its colours can't be read: WebGL's error ${failed}`);
    return data;
  };

  const coloursOf = (bitmap, format) => {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    for (let p = 3; p < data.length; p += 4) {
      if (data[p] !== 255) return transparentColours(bitmap, format);
    }
    return data;
  };

  const pixelsOf = (bitmap, format) => {
    const data = coloursOf(bitmap, format);
    const { planes } = facts;
    const made = new Uint8Array(bitmap.width * bitmap.height * planes);
    for (let k = 0, p = 0; p < data.length; p += 4) {
      if (planes === 1) made[k++] = (data[p] * 19595 + data[p + 1] * 38470 + data[p + 2] * 7471 + 32768) >> 16;
      else for (let c = 0; c < 3; c++) made[k++] = data[p + c];
    }
    return made;
  };

  // Rows, columns and planes of bytes, of the network's size.
  const framed = (bitmap, format) => {
    const { height, width, planes } = facts;
    const [wide, high] = scaledSize(bitmap.width, bitmap.height);
    if (wide < width || high < height) throw new Error(`it is too small: ${bitmap.width}x${bitmap.height} pixels`);
    if (wide * high > 1 << 26) throw new Error(`it is too long and thin: ${bitmap.width}x${bitmap.height} pixels`);
    const image = resized(pixelsOf(bitmap, format), bitmap.width, bitmap.height, wide, high, planes);
    const [left, top] = [rounded((wide - width) / 2), rounded((high - height) / 2)];
    const made = new Uint8Array(width * height * planes);
    for (let y = 0; y < height; y++) {
      const start = ((y + top) * wide + left) * planes;
      made.set(image.subarray(start, start + width * planes), y * width * planes);
    }
    return made;
  };

  const tensorOf = (frame) => {
    const { height, width, planes, channels, layout, dtype } = facts;
    const data = new (dtype === "uint8" ? Uint8Array : Float32Array)(channels * height * width);
    for (let p = 0; p < height * width; p++) {
      for (let c = 0; c < channels; c++) {
        const value = frame[p * planes + Math.min(c, planes - 1)];
        data[layout === "HWC" ? p * channels + c : c * height * width + p] = value;
      }
    }
    const shape = layout === "HWC" ? [1, height, width, channels] : [1, channels, height, width];
    return new ort.Tensor(dtype, data, shape);
  };

  // ------------------------------------------------------------ scores and maps

  const probabilitiesOf = (scores) => {
    if (facts.output === "probabilities") return scores;
    const most = Math.max(...scores);
    const powers = scores.map((score) => Math.exp(score - (facts.output === "scores" ? most : 0)));
    const sum = facts.output === "scores" ? powers.reduce((a, b) => a + b, 0) : 1;
    return powers.map((power) => power / sum);
  };

  let seen = null; // the last frame, its scores and its maps
  let chosen = null; // the class whose map is shown

  const classified = async (session, frame) => {
    const [name] = session.inputNames;
    const found = await session.run({ [name]: tensorOf(frame) });
    const maps = found.maps && { data: found.maps.data, rows: found.maps.dims[2], columns: found.maps.dims[3] };
    return { frame, scores: Array.from(found.scores.data), maps };
  };

  const drawPicture = () => {
    const { height, width, planes } = facts;
    const canvas = at("picture");
    const zoom = Math.max(1, Math.ceil(320 / Math.max(height, width)));
    [canvas.width, canvas.height, canvas.hidden] = [width * zoom, height * zoom, false];
    const context = canvas.getContext("2d");
    for (let p = 0; p < height * width; p++) {
      const [r, g, b] = [0, 1, 2].map((c) => seen.frame[p * planes + Math.min(c, planes - 1)]);
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect((p % width) * zoom, Math.floor(p / width) * zoom, zoom, zoom);
    }
    if (chosen !== null && seen.maps) drawMap(context, zoom);
  };

  const drawMap = (context, zoom) => {
    const { data, rows, columns } = seen.maps;
    const { field, jump, offset } = facts.maps;
    const cells = data.subarray(chosen * rows * columns, (chosen + 1) * rows * columns);
    const most = Math.max(...cells.map(Math.abs), 1e-30);
    for (let k = 0; k < cells.length; k++) {
      const [y, x] = [Math.floor(k / columns), k % columns].map((n, axis) => offset[axis] + n * jump[axis] + field[axis] / 2);
      context.fillStyle = cells[k] > 0 ? `rgb(224 138 0 / ${(0.7 * cells[k]) / most})` : `rgb(0 103 176 / ${(-0.7 * cells[k]) / most})`;
      context.fillRect((x - jump[1] / 2) * zoom, (y - jump[0] / 2) * zoom, jump[1] * zoom, jump[0] * zoom);
    }
  };

  const showClasses = () => {
    const likely = probabilitiesOf(seen.scores);
    const order = likely.map((_, k) => k).sort((a, b) => likely[b] - likely[a]).slice(0, 10);
    at("classes").replaceChildren(...order.map((k) => {
      const [item, button, bar, label, share] = ["li", "button", "i", "span", "span"].map((tag) => document.createElement(tag));
      button.type = "button";
      button.setAttribute("aria-pressed", String(k === chosen));
      [button.dataset.class, button.dataset.score] = [k, seen.scores[k]];
      bar.style.width = `${100 * likely[k]}%`;
      [label.textContent, share.textContent] = [facts.labels[k], `${(100 * likely[k]).toFixed(1)}%`];
      button.append(bar, label, share);
      button.addEventListener("click", () => { chosen = k === chosen ? null : k; show(); });
      item.append(button);
      return item;
    }));
    at("results").hidden = false;
    at("hint").textContent = seen.maps ? "Choose a class to see where its score comes from: orange for it, blue against it." : "";
  };

  const show = () => { drawPicture(); showClasses(); };

  // ------------------------------------------------------------ files and the camera

  const run = async () => {
    const [session, device] = await opened();
    status(`Ready: ${device}, loaded in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
    document.body.dataset.ready = device;
    let pictures = 0;

    const classify = async (bitmap, format) => {
      const start = performance.now();
      seen = await classified(session, framed(bitmap, format));
      show();
      status(`${device}: ${(performance.now() - start).toFixed(0)} ms`);
    };

    const take = async (file) => {
      try {
        const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
        await classify(bitmap, file.type);
        bitmap.close();
      } catch (error) {
        status(`${file.name} can't be classified: ${error.message}`);
      }
      document.body.dataset.pictures = ++pictures;
    };

    at("file").addEventListener("change", () => { if (at("file").files[0]) take(at("file").files[0]); });
    for (const kind of ["dragover", "dragleave", "drop"]) {
      document.addEventListener(kind, (event) => {
        event.preventDefault();
        at("drop").classList.toggle("over", kind === "dragover");
        if (kind === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
      });
    }

    const video = at("video");
    const stop = () => {
      video.srcObject.getTracks().forEach((track) => track.stop());
      [video.srcObject, video.hidden, at("camera").textContent] = [null, true, "Camera"];
    };
    const watch = async () => {
      while (video.srcObject) {
        const bitmap = await createImageBitmap(video);
        await classify(bitmap, "camera");
        bitmap.close();
        await new Promise((next) => setTimeout(next, 100));
      }
    };
    at("camera").addEventListener("click", async () => {
      if (video.srcObject) return stop();
      try {
        video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
        [video.hidden, at("camera").textContent] = [false, "Stop"];
        await video.play();
        await watch();
      } catch (error) {
        if (video.srcObject) stop();
        status(`The camera can't be used: ${error.message}`);
      }
    });
  };

  run().catch((error) => status(`The page can't run here: ${error.message}`));
}
