"""Attempts at `label_queue` of assignment 6."""

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans


def medoids(h, assigned):
    """Row of each cluster that is nearest to the mean of the cluster."""
    rows = []
    for c in np.unique(assigned):
        members = np.flatnonzero(assigned == c)
        away = ((h[members] - h[members].mean(axis=0)) ** 2).sum(axis=1)
        rows.append(int(members[away.argmin()]))
    return rows


def right_hierarchy(h, k):
    """Hierarchical clustering; returns a list."""
    h = np.asarray(h, "float64")
    if k == len(h):
        return list(range(k))
    return medoids(h, AgglomerativeClustering(k).fit_predict(h))


def right_own_k_means(h, k):
    """Own k-means, begun with rows that are far from one another."""
    h = np.asarray(h, "float64")
    chosen = [0]
    for _ in range(k - 1):
        away = ((h[:, None] - h[chosen][None]) ** 2).sum(-1).min(axis=1)
        chosen.append(int(away.argmax()))
    means = h[chosen]
    for _ in range(20):
        assigned = ((h[:, None] - means[None]) ** 2).sum(-1).argmin(axis=1)
        means = np.stack([h[assigned == c].mean(axis=0) for c in range(k)])
    return np.array(medoids(h, assigned))


def right_shuffled(h, k):
    """k-means, and the answer in another order."""
    found = KMeans(k, n_init=3, random_state=1).fit(h)
    return np.array(medoids(np.asarray(h), found.labels_))[::-1]


def wrong_random(h, k):
    """Draws blindly."""
    return np.random.default_rng().choice(len(h), k, replace=False)


def wrong_first_rows(h, k):
    """Takes the first k rows."""
    return np.arange(k)


def wrong_cluster_numbers(h, k):
    """Returns the numbers of the clusters, not rows."""
    return np.unique(KMeans(k, n_init=5, random_state=0).fit_predict(h))


def wrong_farthest(h, k):
    """Takes the row of each cluster that is farthest from its mean."""
    found = KMeans(k, n_init=5, random_state=0).fit(h)
    away = found.transform(h).min(axis=1)
    return [int(np.where(found.labels_ == c, away, -1).argmax()) for c in range(k)]


def wrong_nearest_to_the_mean(h, k):
    """Takes the k rows nearest to the mean of all."""
    h = np.asarray(h)
    return np.argsort(((h - h.mean(axis=0)) ** 2).sum(axis=1))[:k]


def wrong_centres(h, k):
    """Returns the centres instead of rows."""
    return KMeans(k, n_init=5, random_state=0).fit(h).cluster_centers_


def wrong_longest(h, k):
    """Takes the rows with the longest features."""
    return np.argsort(-np.linalg.norm(h, axis=1))[:k]


def wrong_hard_coded(h, k):
    """Answers the visible check and nothing else."""
    return np.array([1, 4]) if k == 2 else np.arange(k)
