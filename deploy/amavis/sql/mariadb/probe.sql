-- The policy of the probes' recipients, whatever the server's own one is; that row is read to see that it can be. What is
-- for spam@ is shown to SpamAssassin alone, and what is for the other one to the virus scanner alone.
SELECT 'probe' AS id, 'probe' AS email, 'Y' AS local, 2 AS spam_tag_level, 5 AS spam_tag2_level, 10 AS spam_kill_level,
    'Y' AS bypass_banned_checks, 'none' AS banned_rulenames,
    CASE WHEN 'spam@probe.invalid' IN (%k) THEN 'Y' ELSE 'N' END AS bypass_virus_checks,
    CASE WHEN 'spam@probe.invalid' IN (%k) THEN 'N' ELSE 'Y' END AS bypass_spam_checks
FROM filter_policy WHERE scope = '@.'
