"""Edits of channels and routes by people."""

from sqlalchemy import Connection, text

from db.repository.access.audit import Edit, Subject, note
from db.repository.alerts.channels import unknown
from domain.errors import InvalidValue, NotFound

ADD = text("""
    INSERT INTO alert_channels (name, scheme, encrypted_url, created_at, created_by)
    VALUES (:name, :scheme, :encrypted_url, :at, :by)
    ON CONFLICT (name) DO NOTHING RETURNING id
""")

REMOVE = text("DELETE FROM alert_channels WHERE id = :id RETURNING name, scheme")

SET_ROUTE = text("""
    INSERT INTO alert_routes AS known (channel_id, brand_id, kind, timing)
    VALUES (:channel_id, :brand_id, :kind, :timing)
    ON CONFLICT (channel_id, brand_id, kind) DO UPDATE SET timing = excluded.timing
    RETURNING id
""")

REMOVE_ROUTE = text("DELETE FROM alert_routes WHERE id = :id RETURNING channel_id, brand_id, kind, timing")


def add(connection: Connection, name: str, scheme: str, encrypted_url: str, edit: Edit) -> int:
    """Stores a channel and returns its id. Raises InvalidValue if another has the name."""
    values = {"name": name, "scheme": scheme, "encrypted_url": encrypted_url, "at": edit.at, "by": edit.by}
    made: int | None = connection.scalar(ADD, values)
    if made is None:
        raise InvalidValue("name", f"there is a channel {name!r} already")
    note(connection, edit, "create", Subject("alert_channel", made), None, {"name": name, "scheme": scheme})
    return made


def remove(connection: Connection, channel_id: int, edit: Edit) -> None:
    """Removes the channel with its routes, messages and attempts. Raises InvalidValue if there is none."""
    row = connection.execute(REMOVE, {"id": channel_id}).mappings().first()
    if row is None:
        raise unknown(channel_id)
    note(connection, edit, "remove", Subject("alert_channel", channel_id), dict(row), None)


def set_route(
    connection: Connection, channel_id: int, brand_id: int | None, kind: str | None, timing: str, edit: Edit
) -> int:
    """Stores when a channel sends the alerts of this brand and kind (None: of all), and returns the route's id."""
    values = {"channel_id": channel_id, "brand_id": brand_id, "kind": kind, "timing": timing}
    made = int(connection.execute(SET_ROUTE, values).scalar_one())
    note(connection, edit, "edit", Subject("alert_route", made, brand_id), None, values)
    return made


def remove_route(connection: Connection, route_id: int, edit: Edit) -> None:
    """Removes a route. Raises InvalidValue if there is none."""
    row = connection.execute(REMOVE_ROUTE, {"id": route_id}).mappings().first()
    if row is None:
        raise NotFound("route", f"there is no route {route_id}")
    note(connection, edit, "remove", Subject("alert_route", route_id, row["brand_id"]), dict(row), None)
