-- What the mail daemons may do in the database: run once by its administrator, after the panel has made the tables, and
-- again after a new password. Each daemon has a user of its own with just the columns that its queries name (postfix/sql
-- and dovecot/sql beside this file). Whoever breaks into Postfix cannot read a password, and no daemon sees the audit
-- trail, the roles or a session of the panel.

CREATE USER IF NOT EXISTS 'postfix'@'@{database_client}' IDENTIFIED BY '@{postfix_password}';
ALTER USER 'postfix'@'@{database_client}' IDENTIFIED BY '@{postfix_password}';
CREATE USER IF NOT EXISTS 'dovecot'@'@{database_client}' IDENTIFIED BY '@{dovecot_password}';
ALTER USER 'dovecot'@'@{database_client}' IDENTIFIED BY '@{dovecot_password}';
CREATE USER IF NOT EXISTS 'amavis'@'@{database_client}' IDENTIFIED BY '@{amavis_password}';
ALTER USER 'amavis'@'@{database_client}' IDENTIFIED BY '@{amavis_password}';

-- Postfix only reads: which domains are ours, what exists, where it leads, and who may send as whom.
GRANT SELECT (domain, enabled, transport, alias_of) ON `@{database_name}`.domain TO 'postfix'@'@{database_client}';
GRANT SELECT (id, email, domain, enabled, can_login) ON `@{database_name}`.user TO 'postfix'@'@{database_client}';
GRANT SELECT (source, destination, domain, enabled, expires) ON `@{database_name}`.alias TO 'postfix'@'@{database_client}';
GRANT SELECT (mailbox_id, address) ON `@{database_name}`.sender TO 'postfix'@'@{database_client}';

-- Dovecot verifies passwords and knows the quota.
GRANT SELECT (domain, enabled) ON `@{database_name}`.domain TO 'dovecot'@'@{database_client}';
GRANT SELECT (id, email, domain, password, quota, enabled, can_login) ON `@{database_name}`.user TO 'dovecot'@'@{database_client}';
GRANT SELECT (mailbox_id, selector, password, imap, pop3, smtp, sieve, expires) ON `@{database_name}`.app_password TO 'dovecot'@'@{database_client}';
-- Which deleted mailboxes are still in the trash, and nothing else of them, so that their mail can be erased.
GRANT SELECT (`table`, name) ON `@{database_name}`.trash TO 'dovecot'@'@{database_client}';

-- What Dovecot writes: the space in use and the last sign-ins.
GRANT SELECT, INSERT, UPDATE ON `@{database_name}`.mailbox_usage TO 'dovecot'@'@{database_client}';
GRANT SELECT, INSERT, UPDATE ON `@{database_name}`.last_login TO 'dovecot'@'@{database_client}';

-- Amavis learns what a recipient has chosen, and where an alias leads.
GRANT SELECT (domain, enabled, alias_of) ON `@{database_name}`.domain TO 'amavis'@'@{database_client}';
GRANT SELECT (email, domain, enabled) ON `@{database_name}`.user TO 'amavis'@'@{database_client}';
GRANT SELECT (source, destination, enabled, expires) ON `@{database_name}`.alias TO 'amavis'@'@{database_client}';
GRANT SELECT (scope, spam_tag_level, spam_tag2_level, spam_kill_level, spam_subject_tag2, bypass_spam_checks, bypass_virus_checks, bypass_banned_checks, banned_rulenames) ON `@{database_name}`.filter_policy TO 'amavis'@'@{database_client}';
GRANT SELECT (scope, sender, wb) ON `@{database_name}`.filter_sender TO 'amavis'@'@{database_client}';

-- What Amavis writes: the quarantine. It deletes nothing.
GRANT SELECT, INSERT ON `@{database_name}`.maddr TO 'amavis'@'@{database_client}';
GRANT SELECT, INSERT, UPDATE ON `@{database_name}`.msgs TO 'amavis'@'@{database_client}';
GRANT SELECT, INSERT ON `@{database_name}`.msgrcpt TO 'amavis'@'@{database_client}';
GRANT SELECT, INSERT ON `@{database_name}`.quarantine TO 'amavis'@'@{database_client}';
