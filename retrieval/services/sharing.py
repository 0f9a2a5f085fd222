"""Who may do what with a store: shared by its owners with people, groups, and everyone who is signed in.

A person is named by their address. What happens next does not depend on whether somebody signs in with it: the role is
kept for whoever comes (`core.models.Invitation`), listed and withdrawn the same way, so that nobody can try addresses
out here. Giving a store away needs the other's agreement for the same reason.
"""

import uuid
from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet

from core.errors import ConflictError, InvalidInputError, LimitError, NotFoundError, PermissionDeniedError
from core.models import Grant, Invitation, User
from core.models.grants import Role
from retrieval import selectors
from retrieval.models import VectorStore

# With more people than that a store is shared by a group.
MAX_SHARES = 200

# Whom something is shared with: an address, a group, or (None) everyone who is signed in.
Subject = str | Group | None


@dataclass(frozen=True, slots=True)
class Share:
    """One who has access; `id` names the share in `unshare_store` and `change_share`."""

    id: uuid.UUID
    kind: str  # person, group, everyone
    label: str
    role: Role


@transaction.atomic
def share_store(*, user: User, store_id: uuid.UUID, subject: Subject, role: Role) -> None:
    """Let `subject` have `role` on a store of the library; who had another role has this one from now on.

    Needs owner on the store. Groups are those that the sharer belongs to (superusers: all). Raises NotFoundError,
    PermissionDeniedError, InvalidInputError for what is no address or a role that cannot be given, LimitError.
    """
    store = _own(user, store_id)
    if isinstance(subject, str):
        _share_with_person(user, store, _address(subject), role)
    elif isinstance(subject, Group):
        if not groups_of(user).filter(pk=subject.pk).exists():
            raise NotFoundError("There is no such group.")
        _grant(user, store, role, group=subject)
    else:
        if role == Role.OWNER:
            raise InvalidInputError("Not everyone can be an owner: owners also delete.")
        _grant(user, store, role, everyone=True)


@transaction.atomic
def change_share(*, user: User, store_id: uuid.UUID, grant_id: uuid.UUID, role: Role) -> None:
    """Give one who has access another role. Raises what `share_store` raises."""
    share = _share(_own(user, store_id), grant_id)
    if isinstance(share, Grant) and share.everyone and role == Role.OWNER:
        raise InvalidInputError("Not everyone can be an owner: owners also delete.")
    share.role = role
    share.save(update_fields=["role"])


@transaction.atomic
def unshare_store(*, user: User, store_id: uuid.UUID, grant_id: uuid.UUID) -> None:
    """Take a role away, at once: searches and pages find nothing more, sockets close. Gone already: nothing changes."""
    store = _own(user, store_id)
    for rows in (store.grants, store.invitations):
        for share in rows.filter(pk=grant_id):
            share.delete()  # one by one, so that who listens is told


@transaction.atomic
def offer_store(*, user: User, store_id: uuid.UUID, email: str) -> None:
    """Ask somebody to become the owner; they may read the store from now on. An empty address withdraws the offer.

    Only the one owner, or a superuser, gives a store away. Raises what `share_store` raises.
    """
    store = _own(user, store_id)
    if store.owner_id != user.pk and not user.is_superuser:
        raise PermissionDeniedError("Only who owns this vector store can give it away.")
    if not email.strip():
        store.offered_to = ""
    else:
        store.offered_to = _address(email)
        if store.owner is not None and store.owner.email == store.offered_to:
            raise InvalidInputError("It belongs to this person already.")
        if not any(share.label == store.offered_to for share in shares(store)):
            _share_with_person(user, store, store.offered_to, Role.READER)
    store.save(update_fields=["offered_to", "updated_at"])


@transaction.atomic
def answer_offer(*, user: User, store_id: uuid.UUID, accepts: bool) -> None:
    """Take an offered store, whose former owner stays an owner by a grant until that is taken away, or decline it."""
    selectors.get_store(user, store_id)
    store = VectorStore.objects.select_for_update(no_key=True).get(pk=store_id)
    if not store.offered_to or store.offered_to != user.email:
        raise ConflictError("This vector store is not offered to you any more.")
    store.offered_to = ""
    if accepts:
        former, store.owner = store.owner, user
        store.grants.filter(user=user).delete()
        if former is not None:
            _grant(user, store, Role.OWNER, user=former)
    store.save(update_fields=["owner", "offered_to", "updated_at"])


def shares(store: VectorStore) -> list[Share]:
    """Everyone who has access by a grant, and those for whom a role is kept, told apart nowhere."""
    found = [_shown(grant) for grant in store.grants.select_related("user", "group")]
    found += [Share(one.pk, "person", one.email, Role(one.role)) for one in store.invitations.all()]
    order = {"everyone": 0, "group": 1, "person": 2}
    return sorted(found, key=lambda share: (order[share.kind], share.label.lower()))


def groups_of(user: User) -> QuerySet[Group]:
    """The groups that `user` may share with."""
    groups = Group.objects.order_by("name")
    return groups if user.is_superuser else groups.filter(pk__in=user.groups.order_by().values("pk"))


def _own(user: User, store_id: uuid.UUID) -> VectorStore:
    """The store, locked against others who share it."""
    store = selectors.get_store(user, store_id, Role.OWNER)
    if store.kind != VectorStore.Kind.LIBRARY:
        raise ConflictError("Only a vector store of the library can be shared.")
    return VectorStore.objects.select_for_update(no_key=True, of=("self",)).select_related("owner").get(pk=store.pk)


def _address(given: str) -> str:
    address = given.strip().lower()
    try:
        validate_email(address)
    except ValidationError:
        raise InvalidInputError("Give an e-mail address, such as ada@example.org.") from None
    return address


def _share_with_person(user: User, store: VectorStore, email: str, role: Role) -> None:
    if store.owner is not None and store.owner.email == email:
        raise InvalidInputError("The vector store belongs to this person: they have every right already.")
    person = User.objects.filter(email=email).first()
    if person is not None:
        _grant(user, store, role, user=person)
        return
    if not store.invitations.filter(email=email).update(role=role):
        _room_for_one_more(store)
        store.invitations.create(email=email, role=role, created_by=user)


def _grant(by: User, store: VectorStore, role: Role, **subject: User | Group | bool) -> None:
    if store.grants.filter(**subject).update(role=role):
        return
    _room_for_one_more(store)
    store.grants.create(**subject, role=role, created_by=by)


def _room_for_one_more(store: VectorStore) -> None:
    if store.grants.count() + store.invitations.count() >= MAX_SHARES:
        raise LimitError(f"It is shared with {MAX_SHARES} already, the most there can be. Share it with a group.")


def _share(store: VectorStore, share_id: uuid.UUID) -> Grant | Invitation:
    shares = (rows.filter(pk=share_id).first() for rows in (store.grants, store.invitations))
    share: Grant | Invitation | None = next(filter(None, shares), None)
    if share is None:
        raise NotFoundError("This is not shared any more.")
    return share


def _shown(grant: Grant) -> Share:
    role = Role(grant.role)
    if grant.everyone:
        return Share(grant.pk, "everyone", "Everyone who is signed in", role)
    if grant.group is not None:
        return Share(grant.pk, "group", grant.group.name, role)
    return Share(grant.pk, "person", grant.user.email if grant.user else "", role)
