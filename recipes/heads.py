"""What the recipe of lesson 03 is made of: train lab-bert under a softmax head, and see what the head has learnt."""

import numpy as np
import torch

from sbert_lab import data, evaluation, load, losses, results, train


def labels(pairs):
    return np.array([pair.label for pair in pairs])


def sides(encoder, pairs):
    return [torch.from_numpy(encoder.encode([pair.texts[i] for pair in pairs])) for i in (0, 1)]  # (N, D) each


def look(encoder, loss, new, source):
    """Spearman on the STS dev set `source`, and the head's accuracy on `new` pairs, both x 100."""
    right = loss.scores(*sides(encoder, new)).argmax(dim=1).numpy() == labels(new)
    return results.points([evaluation.sts(encoder, data.sts("dev", source))["spearman"], right.mean()])


def trained(pairs, plan, features="u,v,|u-v|", watch=None):
    """The encoder, its loss, and what was seen; `watch`, new pairs and an STS set, is looked at as the plan says."""
    torch.manual_seed(plan.seed)
    encoder, loss = load("lab-bert", precision=torch.bfloat16), losses.SoftmaxClassification(256, 3, features)
    seen = []  # grows, so that a later look is the better one and the last weights are kept
    dev = watch and (lambda encoder: seen.append(look(encoder, loss, *watch)) or len(seen))
    history = train(encoder, pairs, loss, plan, dev=dev)
    quarters = [round(float(np.mean(part)), 3) for part in np.array_split(history.losses, 4)]
    return encoder, loss, {"pairs": len(pairs) * plan.epochs, "looks": seen, "losses": quarters}


def learnt(learner, x, y, new, right):
    """The accuracy on `new` of a learner of scikit-learn, x 100."""
    return results.points(learner.fit(x, y).score(new, right))
