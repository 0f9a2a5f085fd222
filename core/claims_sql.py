"""The statements of `core.outbox` that take, keep and end claims."""

# Work of nobody in particular counts as one owner's.
CLAIM = """
WITH busy AS (
    SELECT owner_id, count(*) AS running FROM core_work WHERE state = 'running' GROUP BY owner_id
), next AS (
    SELECT waiting.id FROM core_work waiting
    LEFT JOIN busy ON busy.owner_id IS NOT DISTINCT FROM waiting.owner_id
    WHERE waiting.state = 'waiting' AND waiting.run_after <= clock_timestamp() AND waiting.kind = ANY(%s)
    ORDER BY coalesce(busy.running, 0), waiting.run_after
    LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
)
UPDATE core_work SET state = 'running', attempts = attempts + 1, fence = fence + 1,
    lease_until = clock_timestamp() + %s::interval
FROM next WHERE core_work.id = next.id
RETURNING core_work.id, kind, subject, arguments, attempts, fence, weight
"""

# Owners take turns within a group too; that of the first has had one. Only what is chosen is locked: the rest stays in
# reach of other workers.
JOIN = """
WITH turns AS (
    SELECT id, weight, run_after, row_number() OVER (PARTITION BY owner_id ORDER BY run_after, id)
        + (owner_id IS NOT DISTINCT FROM (SELECT owner_id FROM core_work WHERE id = %s))::int AS turn
    FROM core_work
    WHERE state = 'waiting' AND attempts = 0 AND run_after <= clock_timestamp() AND kind = %s AND weight < %s
), filled AS (
    SELECT id, sum(weight) OVER (ORDER BY turn, run_after, id) AS weight
    FROM turns ORDER BY turn, run_after, id LIMIT %s
), free AS (
    SELECT id FROM core_work
    WHERE id IN (SELECT id FROM filled WHERE weight <= %s) AND state = 'waiting' FOR UPDATE SKIP LOCKED
)
UPDATE core_work SET state = 'running', attempts = attempts + 1, fence = fence + 1,
    lease_until = clock_timestamp() + %s::interval
FROM free WHERE core_work.id = free.id
RETURNING core_work.id, kind, subject, arguments, attempts, fence, weight
"""

# In order, so that two transactions never wait for each other's rows crosswise.
GUARD = """
SELECT id FROM core_work
WHERE (id, fence) IN (SELECT * FROM unnest(%s::uuid[], %s::bigint[])) AND state = 'running' ORDER BY id FOR UPDATE
"""
RENEW = """
UPDATE core_work SET lease_until = clock_timestamp() + %s::interval
WHERE (id, fence) IN (SELECT * FROM unnest(%s::uuid[], %s::bigint[])) AND state = 'running'
"""
END = """
DELETE FROM core_work
WHERE (id, fence) IN (SELECT * FROM unnest(%s::uuid[], %s::bigint[])) AND state = 'running'
"""
