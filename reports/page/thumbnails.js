// Small pictures beside numbers: each names its prompt, concept and column in the gallery's data.
for (const frame of document.querySelectorAll("[data-picture]")) {
  const [prompt, concept, column] = frame.dataset.picture.split(" ").map(Number);
  shardOf(prompt).then((shard) => put(frame, cellOf(shard, concept, column), frame.dataset.alt));
}
