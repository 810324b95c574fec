/** The list follows what arrives: asks now and then, and loads itself again when there is more. */
const shown = Number(document.querySelector("main").dataset.newest);

async function look() {
  try {
    const kinds = Object.values(await (await fetch("/api/")).json());
    if (kinds.some(([newest]) => newest?.number > shown)) location.reload();
  } catch {} // stopped, or on its way back
}

setInterval(look, 2000);
