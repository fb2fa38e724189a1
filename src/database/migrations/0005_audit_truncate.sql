-- Append-only means TRUNCATE too, which fires no row trigger.
CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON guild_audit.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION guild_audit.refuse_change();
