"""ObservedKubeClient: the agent's own calls to the API server, whose success or failure is noted."""

import asyncio

from pipeops.agent.observed.requests import RequestsObserved
from pipeops.kube.client import KubeClient
from pipeops.kube.config import KubeAccess
from pipeops.kube.errors import ApiStatusError, KubeAnswerError, KubeUnreachable


class ObservedKubeClient(KubeClient):
    """A KubeClient that tells `requests` whether the API server could be reached."""

    def __init__(self, requests: RequestsObserved, access: KubeAccess, *, timeout: float) -> None:
        super().__init__(access, timeout=timeout)
        self._requests = requests
        self._time = asyncio.get_running_loop().time

    async def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """As `KubeClient.request`."""
        began = self._time()
        try:
            answer = await super().request(method, path, body)
        except (KubeUnreachable, KubeAnswerError) as error:
            self._requests.api_unreachable(str(error))
            raise
        except ApiStatusError as error:
            self._requests.answered(error.status, began)
            raise
        self._requests.answered(200, began)
        return answer
