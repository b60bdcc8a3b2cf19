"""A connection to Redis that one thread keeps for the step it takes again and again."""

from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from workers.redis_broker import SpendgateBroker


class Line:
    """Takes steps past the pool of connections, at half the price; whatever goes wrong, the broker does it its way."""

    def __init__(self, broker: "SpendgateBroker") -> None:
        self._broker = broker
        self._connection: Any = None

    def step(self, name: str, *arguments: Any) -> Any:
        """The same as the broker's step. Raises what that raises."""
        try:
            if self._connection is None:
                self._connection = self._broker.client.connection_pool.get_connection()
            self._connection.send_command(
                "EVALSHA", self._broker.steps[name].sha, 1, self._broker.namespace, *arguments
            )
            return self._connection.read_response()
        except (redis.RedisError, OSError):
            self.close()
            return self._broker.step(name, *arguments)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Gives up the connection, on which a reply may still be on its way."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._broker.client.connection_pool.release(connection)
