"""One unsupervised training of lab-bert and its way through dev score, alignment and uniformity: for lesson 07."""

import numpy as np
import torch

from sbert_lab import Plan, data, evaluation, gradients, load, losses, metrics, similarity, train

dev, test = data.sts("dev"), data.sts("test")
near = np.array([row.label >= 0.8 for row in dev])


def once(encoder, loss, columns, labels, tokens_at_once):
    """Fill the gradients from one pass for both columns: the same dropout mask twice."""
    vectors = encoder(columns[0])
    value = loss([vectors, vectors], labels)
    value.backward()
    return value.detach()


def run(rows, rate, seed=0, p=0.1, pooling="mean", head=False, fill=gradients.plain, every=10, batch=64):
    """Losses at both ends, the path (dev x 100, alignment, uniformity) and the test pairs' cosines."""
    encoder, path = load("lab-bert", precision=torch.bfloat16), []
    encoder.pooling = pooling
    for part in encoder.modules():
        if isinstance(part, torch.nn.Dropout) and part.p:  # in attention lab-bert has none
            part.p = p

    def look(encoder):
        vectors = torch.from_numpy(encoder.encode([text for row in dev for text in row.texts]))
        u, v = vectors[::2], vectors[1::2]
        score = metrics.spearman(similarity.cosine(u, v), [row.label for row in dev])
        path.append([100 * score, metrics.alignment(u[near], v[near]), metrics.uniformity(vectors)])
        return len(path)  # so that the last weights stay

    torch.manual_seed(seed)  # where the head begins
    loss = losses.Projected(256, losses.InBatchNegatives()) if head else losses.InBatchNegatives()
    plan = Plan(1, batch, rate, seed=seed, evaluate_every=every)
    lost = train(encoder, rows, loss, plan, dev=look, gradients=fill).losses
    found = {"rate": rate, "losses": np.round([np.mean(lost[:3]), np.mean(lost[-3:])], 3).tolist()}
    return found | {"path": np.round(path, 3).tolist(), "cosines": evaluation.cosines(encoder, test)}
