"""Cluster: shards made by the workers of a Dask cluster, or by processes of this computer; the files land in one folder
that all of them see.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import PrevisageError, UsageError

RETRIES = 3
"""A worker that is taken away loses its shard; it is made again elsewhere."""


def on_cluster(scheduler: str | None, workers: int, security: dict[str, str] | None = None) -> Callable[
        ..., Iterator[Any]]:
    """A `spread` for `write_pairs`: on the cluster at an address (`tcp://host:8786`, `tls://...`), or on `workers`
    processes here.

    security: files `ca`, `cert`, `key` for tls. UsageError: the package is missing or nobody answers there.
    """
    def spread(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        distributed = package()
        cluster = None
        if scheduler is None:
            cluster = distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None,
                                               silence_logs=40)
        try:
            client = distributed.Client(cluster or scheduler, security=secured(distributed, security), timeout=20)
        except (OSError, TimeoutError) as error:
            raise UsageError("no_cluster", f"No Dask scheduler answers at {scheduler}.",
                             "Start one with `dask scheduler`, its workers with `dask worker ADDRESS`.") from error
        try:
            futures = [client.submit(function, *job, pure=False, retries=RETRIES) for job in jobs]
            for future, result in distributed.as_completed(futures, with_results=True, raise_errors=False):
                if future.status == "error":
                    raise failed(result)
                yield result
        finally:
            client.close()
            if cluster is not None:
                cluster.close()

    return spread


def package() -> Any:
    """distributed. UsageError: it is not installed."""
    try:
        import distributed
    except ImportError as error:
        raise UsageError("no_distributed", "Making pairs on several processes needs the package distributed.",
                         "pip install 'previsage[cluster]', or leave --workers and --scheduler out.") from error
    return distributed


def secured(distributed: Any, files: dict[str, str] | None) -> Any:
    """Dask's TLS settings. UsageError: a file is missing."""
    if files is None:
        return None
    missing = [name for name, file in files.items() if not Path(file).is_file()]
    if missing:
        raise UsageError("no_certificate", f"There is no file for {missing[0]}.",
                         "Give --tls-ca, --tls-cert and --tls-key.")
    return distributed.Security(tls_ca_file=files["ca"], tls_client_cert=files["cert"], tls_client_key=files["key"],
                                require_encryption=True)


def failed(result: Any) -> PrevisageError:
    """A worker's error, after its retries."""
    error = result[1] if isinstance(result, tuple) and len(result) > 1 else result
    if isinstance(error, PrevisageError):
        return error
    return PrevisageError("worker_failed", f"A worker failed ({type(error).__name__}: {error}).",
                          "The same command goes on: finished shards are kept.")
