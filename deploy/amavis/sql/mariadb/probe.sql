-- The policy of the probes' recipients, whatever the server's own one is; that row is read to see that it can be. The
-- address spam@ is not shown to the virus scanner.
SELECT 'probe' AS id, 'probe' AS email, 'Y' AS local, 2 AS spam_tag_level, 5 AS spam_tag2_level, 10 AS spam_kill_level,
    'N' AS bypass_spam_checks, 'Y' AS bypass_banned_checks, 'Y' AS banned_files_lover, 'none' AS banned_rulenames,
    CASE WHEN 'spam@probe.invalid' IN (%k) THEN 'Y' ELSE 'N' END AS bypass_virus_checks
FROM filter_policy WHERE scope = '@.'
