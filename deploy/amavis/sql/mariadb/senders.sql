-- The senders that a scope has let through or barred. Amavis asks for each scope of policy.sql in turn, the most specific
-- first, with the sender's address and its domains; the first answer counts: W, B, or points to add to the score.
SELECT wb FROM filter_sender
WHERE scope = ? AND sender IN (%k)
ORDER BY CASE WHEN SUBSTR(sender, 1, 1) = '@' THEN 1 ELSE 0 END, LENGTH(sender) DESC
