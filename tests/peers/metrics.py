"""Figures of scikit-learn for the cases in a JSON file, printed as JSON in the same order."""
import json
import sys

import numpy as np
from scipy.optimize import brentq
from sklearn import metrics
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler, label_binarize


def binary(case):
    scores, positive = np.array(case["scores"]), np.array(case["positive"])
    if positive.all() or not positive.any():
        return None
    far, tar, _ = metrics.roc_curve(positive, scores, drop_intermediate=False)
    at = lambda most: float(tar[far <= most * (1 + 1e-12)].max())
    cost = 0.01 * (1 - tar) + 0.99 * far
    return {
        "auc": metrics.roc_auc_score(positive, scores),
        "average_precision": metrics.average_precision_score(positive, scores),
        # np.interp takes the last of equal abscissae where the curve rises, as a step should.
        "eer": brentq(lambda x: 1.0 - x - np.interp(x, far, tar), 0.0, 1.0, xtol=1e-13),
        "tar": [at(0.5), at(0.1), at(0.05)],
        "min_dcf": float(cost.min() / 0.01),
    }


def classes(case):
    p, labels = np.array(case["probabilities"]), np.array(case["labels"])
    count = p.shape[1]
    best = p.argmax(1)
    figures = {
        "accuracy": metrics.accuracy_score(labels, best),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, best),
        "confusion": metrics.confusion_matrix(labels, best, labels=range(count)).tolist(),
    }
    if count == 2:
        figures["auc"] = metrics.roc_auc_score(labels, p[:, 1])
        figures["average_precision"] = metrics.average_precision_score(labels, p[:, 1])
        figures["f1"] = metrics.f1_score(labels, best, zero_division=0)
    else:
        figures["auc"] = metrics.roc_auc_score(labels, p, multi_class="ovr")
        figures["average_precision"] = metrics.average_precision_score(
            label_binarize(labels, classes=range(count)), p, average="macro"
        )
        figures["f1"] = metrics.f1_score(labels, best, average="macro", zero_division=0)
    confidence = p.max(1)
    edges = np.linspace(0, 1, 16)
    bins = np.clip(np.digitize(confidence, edges, right=True), 1, 15)
    gaps = [
        abs(confidence[bins == b].sum() - (best == labels)[bins == b].sum()) for b in range(1, 16)
    ]
    figures["calibration_error"] = sum(gaps) / len(labels)
    return figures


def leakage(case):
    x = np.array(case["vectors"], dtype=np.float32).astype(float)
    labels, person = np.array(case["labels"]), np.array(case["person"])
    y = np.where(label_binarize(labels, classes=range(3)) == 1, 1.0, -1.0)
    scores = np.zeros_like(y)
    for fold in range(5):
        held = person % 5 == fold
        scaler = StandardScaler().fit(x[~held])
        ridge = Ridge(alpha=1.0).fit(scaler.transform(x[~held]), y[~held])
        scores[held] = ridge.predict(scaler.transform(x[held])) - y[~held].mean(0)
    one_against_rest = [metrics.roc_auc_score(labels == c, scores[:, c]) for c in range(3)]
    return float(np.mean(one_against_rest))


cases = json.load(open(sys.argv[1]))
json.dump(
    {
        "binary": [binary(case) for case in cases["binary"]],
        "classes": [classes(case) for case in cases["classes"]],
        "leakage": [leakage(case) for case in cases["leakage"]],
    },
    sys.stdout,
)
