-- The most confidential data that an action's run had read when it was proposed: judged again before it is carried out.
ALTER TABLE guild_core.actions ADD COLUMN confidentiality varchar(10) NOT NULL DEFAULT 'internal';
