-- What the recipient has chosen: one row for each scope, the most specific first; Amavis takes each field from the first
-- row where it is not NULL. The mailbox, its domain, and the server ('@.').
--
-- Asked before the queue, it is the address that the sender wrote: an alias, one of a mirror, or one with a +tag. So each
-- is followed to where its mail goes (as in postfix/sql): if that is one mailbox, what that one has chosen counts.
WITH RECURSIVE
-- the address as it was given comes first among the keys
asked (address) AS (SELECT LOWER(COALESCE(%k, NULL))),
whole (local, domain) AS (
    SELECT SUBSTR(address, 1, INSTR(REPLACE(address, '+', '@'), '@') - 1), SUBSTR(address, INSTR(address, '@') + 1)
    FROM asked WHERE address LIKE '_%@_%'
),
-- its mailbox, also in the domain that its own one mirrors
own (email, domain) AS (
    SELECT user.email, user.domain
    FROM whole
    JOIN domain ON domain.domain = whole.domain
    JOIN user ON user.email = whole.local || '@' || COALESCE(domain.alias_of, domain.domain)
),
-- or else where its mail goes, step by step: by alias rows of that very address
way (local, domain) AS (
    SELECT local, domain FROM whole WHERE NOT EXISTS (SELECT 1 FROM own)
    UNION
    SELECT SUBSTR(next.destination, 1, INSTR(REPLACE(next.destination, '+', '@'), '@') - 1),
        SUBSTR(next.destination, INSTR(next.destination, '@') + 1)
    FROM way
    JOIN domain ON domain.domain = way.domain AND domain.enabled = 1
    JOIN alias next ON next.source = way.local || '@' || COALESCE(domain.alias_of, domain.domain)
    WHERE next.enabled = 1 AND (next.expires IS NULL OR next.expires > datetime('now'))
    UNION
    -- or, where neither a mailbox nor an alias of that address exists, by the catch-all
    SELECT SUBSTR(next.destination, 1, INSTR(REPLACE(next.destination, '+', '@'), '@') - 1),
        SUBSTR(next.destination, INSTR(next.destination, '@') + 1)
    FROM way
    JOIN domain ON domain.domain = way.domain AND domain.enabled = 1
    JOIN alias next ON next.source = '@' || COALESCE(domain.alias_of, domain.domain)
    WHERE next.enabled = 1 AND (next.expires IS NULL OR next.expires > datetime('now'))
      AND NOT EXISTS (SELECT 1 FROM user WHERE email = way.local || '@' || COALESCE(domain.alias_of, domain.domain))
      AND NOT EXISTS (SELECT 1 FROM alias WHERE source = way.local || '@' || COALESCE(domain.alias_of, domain.domain))
),
-- the ends of these ways: mailboxes that are on, and addresses outside
ends (email, domain) AS (
    SELECT user.email, user.domain
    FROM way
    JOIN domain ON domain.domain = way.domain
    JOIN user ON user.email = way.local || '@' || COALESCE(domain.alias_of, domain.domain)
    WHERE user.enabled = 1
    UNION
    SELECT way.local || '@' || way.domain, NULL
    FROM way WHERE NOT EXISTS (SELECT 1 FROM domain WHERE domain.domain = way.domain)
),
-- the one whose choice counts, if there is one
mailbox (email, domain) AS (
    SELECT email, domain FROM own
    UNION ALL
    SELECT email, domain FROM ends WHERE domain IS NOT NULL AND (SELECT COUNT(*) FROM ends) = 1
),
-- an address of ours is in two or three of them, one elsewhere in the last alone
scope (width, name) AS (
    SELECT 1, email FROM mailbox
    UNION ALL
    SELECT 2, '@' || COALESCE((SELECT domain FROM mailbox), domain.alias_of, domain.domain)
    FROM whole JOIN domain ON domain.domain = whole.domain
    UNION ALL
    SELECT 3, '@.'
)
SELECT scope.name AS id, scope.name AS email, CASE WHEN scope.width < 3 THEN 'Y' END AS local,
    policy.spam_tag_level, policy.spam_tag2_level, policy.spam_kill_level, policy.spam_subject_tag2,
    -- who does not want something checked gets it, whatever it is
    policy.bypass_spam_checks, policy.bypass_spam_checks AS spam_lover,
    policy.bypass_virus_checks, policy.bypass_virus_checks AS virus_lover,
    policy.bypass_banned_checks, policy.bypass_banned_checks AS banned_files_lover,
    -- of this field alone Amavis would add up all rows
    CASE WHEN scope.width = (
        SELECT MIN(one.width) FROM scope one JOIN filter_policy given ON given.scope = one.name
        WHERE given.banned_rulenames IS NOT NULL
    ) THEN policy.banned_rulenames END AS banned_rulenames
FROM scope LEFT JOIN filter_policy policy ON policy.scope = scope.name
ORDER BY scope.width
