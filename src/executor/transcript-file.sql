-- name: findTranscript
SELECT state, transcript_ref, finished_at FROM guild_core.invocations WHERE id = $1;
