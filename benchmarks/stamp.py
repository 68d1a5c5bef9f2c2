"""Write the digests of its training concepts into a trained steering of version 0.1.0.

The last step of the recipe of `baselines/hypertransport-emoji.safetensors`, which was trained
before files had digests; no tensor changes, and a second call changes nothing. It refuses a file
whose training concepts are not those of the set: a network keeps the mean of their embeddings.

Run it as `python benchmarks/stamp.py baselines/hypertransport-emoji.safetensors`.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from htbench.core import content, registry
from htbench.steering import baseline, concept
from htbench.steering.fitting.hypernetwork import TrainedHypernetwork
from htbench.steering.training import training_digest


def main() -> None:
    """Stamp the file that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--method", default="hypertransport")
    parser.add_argument("--model", default="emoji")
    parser.add_argument("--concepts", default="emoji")
    options = parser.parse_args()
    model = registry.load_model(options.model)
    method = baseline.load_method(options.method)
    steering: TrainedHypernetwork = method.load(model, options.file, seed=0)
    known = {each.id: each for each in concept.load(options.concepts).splits["train"]}
    concepts = [known[id_] for id_ in steering.training.concepts]
    mean = steering.encoder.texts([each.text for each in concepts]).mean(0)
    if not torch.allclose(mean, steering.network.get_buffer("text_mean"), atol=1e-6):
        sys.exit("the network was not trained on these concepts")
    training = replace(steering.training, concepts_digest=training_digest(concepts), unverified="")
    with content.replacing(options.file) as fresh:
        replace(steering, training=training).save(fresh)


if __name__ == "__main__":
    main()
