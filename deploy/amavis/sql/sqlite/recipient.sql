-- A recipient of what goes to the quarantine, with the domain, which its lists are found by. Amavis has no letter for what
-- could not be unpacked, and would write a question mark.
INSERT INTO msgrcpt (partition_tag, mail_id, rseqnum, rid, is_local, content, ds, rs, bl, wl, bspam_level, smtp_resp, domain)
SELECT one.*, COALESCE(SUBSTR(maddr.email, INSTR(maddr.email, '@') + 1), '')
FROM (
    SELECT ? AS partition_tag, ? AS mail_id, ? AS rseqnum, ? AS rid, ? AS is_local, REPLACE(?, CHAR(63), 'U') AS content,
        ? AS ds, ? AS rs, ? AS bl, ? AS wl, ? AS bspam_level, ? AS smtp_resp
) one LEFT JOIN maddr ON maddr.id = one.rid
