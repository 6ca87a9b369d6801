    # What decides for one address, first match: read it from the bottom up. Included by aliases.cf and refused.cf.
    WITH RECURSIVE

    # Where the address may stand: in its own domain (0), then in the domain that this one mirrors (1).
    place (nth, source) AS (
        SELECT 0, CONCAT('%u@', domain) FROM domain WHERE domain = '%d' AND enabled = 1
        UNION ALL
        SELECT 1, CONCAT('%u@', target.domain)
        FROM domain JOIN domain target ON target.domain = domain.alias_of
        WHERE domain.domain = '%d' AND domain.enabled = 1 AND target.enabled = 1
    ),

    # What its alias rows name that are switched on and not expired; then (2) the role addresses of every domain whose
    # mail stays here and of the server's own name, which the server's postmaster answers.
    first (nth, destination) AS (
        SELECT place.nth, alias.destination
        FROM place JOIN alias ON alias.source = place.source
        WHERE alias.enabled = 1 AND (alias.expires IS NULL OR alias.expires > UTC_TIMESTAMP(6))
          # an alias that names its own address keeps a copy in that mailbox, if it is on
          AND (alias.destination <> alias.source
               OR EXISTS (SELECT 1 FROM user WHERE email = alias.source AND user.enabled = 1))
        UNION ALL
        SELECT 2, '@{postmaster}' FROM domain
        WHERE domain = '%d' AND enabled = 1 AND transport IN ('', 'virtual:')
          AND '%u' IN ('postmaster', 'abuse') AND '%u@%d' <> '@{postmaster}'
        UNION ALL
        SELECT 2, '@{postmaster}'
        WHERE '%d' = '@{hostname}' AND '%u' IN ('postmaster', 'abuse', 'root', 'mailer-daemon')
          AND '%u@%d' <> '@{postmaster}'
    ),

@include living.sql

    # The precedence. For each place in turn: its living alias rows, its mailbox if that is on, and, for a mailbox or
    # an alias that exists but is off, expired or without a living destination, the address itself (turns 2 and 5).
    answer (turn, address) AS (
        SELECT 3 * nth, destination FROM living
        UNION
        SELECT 3 * nth + CASE enabled WHEN 1 THEN 1 ELSE 2 END, email
        FROM place JOIN user ON user.email = place.source
        UNION
        SELECT 3 * nth + 2, place.source FROM place JOIN alias ON alias.source = place.source
    )
