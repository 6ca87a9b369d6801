    # Which of the destinations in `first` are alive: follow each one, step by step, to where it ends. Mail for an alias
    # that leads to a mailbox which was switched off, over however many steps, is refused at the door; accepted, it
    # could only bounce, mostly to somebody whose address was forged.
    way (nth, destination, local, domain) AS (
        # the address without its +tag, in two halves
        SELECT nth, destination,
            substr(destination, 1, instr(replace(destination, '+', '@'), '@') - 1),
            substr(destination, instr(destination, '@') + 1)
        FROM first
        UNION
        # the next step: alias rows of that very address (for a mirror: of the domain that it mirrors)
        SELECT way.nth, way.destination,
            substr(next.destination, 1, instr(replace(next.destination, '+', '@'), '@') - 1),
            substr(next.destination, instr(next.destination, '@') + 1)
        FROM way
        JOIN domain ON domain.domain = way.domain AND domain.enabled = 1
        JOIN domain home ON home.domain = coalesce(domain.alias_of, domain.domain) AND home.enabled = 1
        JOIN alias next ON next.source = way.local || '@' || home.domain
        WHERE next.enabled = 1 AND (next.expires IS NULL OR next.expires > datetime('now'))
        UNION
        # or, where neither a mailbox nor an alias of that address exists, the catch-all
        SELECT way.nth, way.destination,
            substr(next.destination, 1, instr(replace(next.destination, '+', '@'), '@') - 1),
            substr(next.destination, instr(next.destination, '@') + 1)
        FROM way
        JOIN domain ON domain.domain = way.domain AND domain.enabled = 1
        JOIN domain home ON home.domain = coalesce(domain.alias_of, domain.domain) AND home.enabled = 1
        JOIN alias next ON next.source = '@' || home.domain
        WHERE next.enabled = 1 AND (next.expires IS NULL OR next.expires > datetime('now'))
          AND NOT EXISTS (SELECT 1 FROM user WHERE email = way.local || '@' || home.domain)
          AND NOT EXISTS (SELECT 1 FROM alias WHERE source = way.local || '@' || home.domain)
    ),
    living (nth, destination) AS (
        SELECT DISTINCT way.nth, way.destination
        FROM way
        LEFT JOIN domain ON domain.domain = way.domain
        LEFT JOIN domain home ON home.domain = coalesce(domain.alias_of, domain.domain) AND home.enabled = 1
        LEFT JOIN user ON user.email = way.local || '@' || home.domain
        # an end is alive: outside of this server; a mailbox that is on; in a domain of ours without a mailbox of that
        # name, the next hop of a relay domain, and a role address
        WHERE domain.domain IS NULL
           OR domain.enabled = 1 AND user.enabled = 1
           OR domain.enabled = 1 AND user.email IS NULL
              AND NOT EXISTS (SELECT 1 FROM alias WHERE source = way.local || '@' || home.domain)
              AND (domain.transport NOT IN ('', 'virtual:')
                   OR way.local IN ('postmaster', 'abuse') AND way.local || '@' || way.domain <> '@{postmaster}')
    ),
