-- Run once by the image's entry point, as the superuser, in the new database: the two roles that Parley works under.
-- Keep it in step with config/local/postgres.py; a test compares what both make.
\getenv owner_password PARLEY_OWNER_PASSWORD
\getenv app_password PARLEY_APP_PASSWORD

-- the statements below hold passwords
SET log_statement = 'none';
SET log_min_error_statement = 'panic';

CREATE ROLE parley_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'owner_password';
CREATE ROLE parley_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'app_password';

ALTER DATABASE parley OWNER TO parley_owner;
CREATE EXTENSION IF NOT EXISTS vector;

REVOKE ALL ON DATABASE parley FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE parley TO parley_app;
GRANT USAGE ON SCHEMA public TO parley_app;
ALTER DEFAULT PRIVILEGES FOR ROLE parley_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO parley_app;
ALTER DEFAULT PRIVILEGES FOR ROLE parley_owner GRANT USAGE, SELECT ON SEQUENCES TO parley_app;
