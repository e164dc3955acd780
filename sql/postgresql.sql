-- What Orleans' ADO.NET providers need of a PostgreSQL database (12 or later): membership of the cluster, and a table for the states of grains.
-- The providers read their statements from the table orleansquery, by key. To be run once, and again after an upgrade; nothing is lost by it:
--
--     psql "$CONNECTION" --set ON_ERROR_STOP=1 --single-transaction --file sql/postgresql.sql
--
-- A statement that changes something conditionally returns how many rows it changed, or the new version: none, where the condition did not hold.

CREATE TABLE IF NOT EXISTS orleansquery (
    querykey  text PRIMARY KEY,
    querytext text NOT NULL
);

-- One row for each cluster. Its version changes with every change of membership, which is what makes those conditional on each other.
CREATE TABLE IF NOT EXISTS orleans_cluster (
    deployment_id text PRIMARY KEY,
    version       integer NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS orleans_silo (
    deployment_id text NOT NULL REFERENCES orleans_cluster,
    address       text NOT NULL,
    port          integer NOT NULL,
    generation    integer NOT NULL,
    silo_name     text NOT NULL,
    host_name     text NOT NULL,
    status        integer NOT NULL,
    proxy_port    integer NOT NULL,
    suspect_times text,
    start_time    timestamptz NOT NULL,
    i_am_alive_at timestamptz NOT NULL,
    PRIMARY KEY (deployment_id, address, port, generation)
);

-- One row for each grain that has a state. A row without a payload is a state that was cleared and not deleted.
CREATE TABLE IF NOT EXISTS orleans_state (
    service_id text NOT NULL,
    grain_type text NOT NULL,
    id_n0      bigint NOT NULL,
    id_n1      bigint NOT NULL,
    id_text    text NOT NULL,
    version    integer NOT NULL,
    payload    bytea,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (service_id, grain_type, id_n0, id_n1, id_text)
);

INSERT INTO orleansquery (querykey, querytext) VALUES
('InsertMembershipVersionKey', '
    WITH made AS (
        INSERT INTO orleans_cluster (deployment_id) VALUES (@DeploymentId) ON CONFLICT DO NOTHING RETURNING 1)
    SELECT count(*) FROM made'),

('InsertMembershipKey', '
    WITH turn AS (
        UPDATE orleans_cluster c SET version = version + 1
        WHERE deployment_id = @DeploymentId AND version = @Version AND NOT EXISTS (
            SELECT 1 FROM orleans_silo s
            WHERE s.deployment_id = c.deployment_id AND address = @Address AND port = @Port AND generation = @Generation)
        RETURNING deployment_id),
    made AS (
        INSERT INTO orleans_silo (
            deployment_id, address, port, generation, silo_name, host_name, status, proxy_port, start_time, i_am_alive_at)
        SELECT deployment_id, @Address, @Port, @Generation, @SiloName, @HostName, @Status, @ProxyPort, @StartTime, @IAmAliveTime
        FROM turn RETURNING 1)
    SELECT count(*) FROM made'),

('UpdateMembershipKey', '
    WITH turn AS (
        UPDATE orleans_cluster SET version = version + 1
        WHERE deployment_id = @DeploymentId AND version = @Version
        RETURNING deployment_id),
    changed AS (
        UPDATE orleans_silo s SET status = @Status, suspect_times = @SuspectTimes, i_am_alive_at = @IAmAliveTime
        FROM turn
        WHERE s.deployment_id = turn.deployment_id AND address = @Address AND port = @Port AND generation = @Generation
        RETURNING 1)
    SELECT count(*) FROM changed'),

('UpdateIAmAlivetimeKey', '
    UPDATE orleans_silo SET i_am_alive_at = @IAmAliveTime
    WHERE deployment_id = @DeploymentId AND address = @Address AND port = @Port AND generation = @Generation'),

('MembershipReadRowKey', '
    SELECT c.version AS "Version", s.address AS "Address", s.port AS "Port", s.generation AS "Generation", s.silo_name AS "SiloName",
        s.host_name AS "HostName", s.status AS "Status", s.proxy_port AS "ProxyPort", s.suspect_times AS "SuspectTimes",
        s.start_time AS "StartTime", s.i_am_alive_at AS "IAmAliveTime"
    FROM orleans_cluster c
    LEFT JOIN orleans_silo s
        ON s.deployment_id = c.deployment_id AND s.address = @Address AND s.port = @Port AND s.generation = @Generation
    WHERE c.deployment_id = @DeploymentId'),

('MembershipReadAllKey', '
    SELECT c.version AS "Version", s.address AS "Address", s.port AS "Port", s.generation AS "Generation", s.silo_name AS "SiloName",
        s.host_name AS "HostName", s.status AS "Status", s.proxy_port AS "ProxyPort", s.suspect_times AS "SuspectTimes",
        s.start_time AS "StartTime", s.i_am_alive_at AS "IAmAliveTime"
    FROM orleans_cluster c
    LEFT JOIN orleans_silo s ON s.deployment_id = c.deployment_id
    WHERE c.deployment_id = @DeploymentId'),

('GatewaysQueryKey', '
    SELECT address AS "Address", proxy_port AS "ProxyPort", generation AS "Generation"
    FROM orleans_silo
    WHERE deployment_id = @DeploymentId AND status = @Status AND proxy_port > 0'),

('DeleteMembershipTableEntriesKey', '
    WITH gone AS (DELETE FROM orleans_silo WHERE deployment_id = @DeploymentId RETURNING 1)
    SELECT count(*) FROM gone'),

-- 3 is Active.
('CleanupDefunctSiloEntriesKey', '
    DELETE FROM orleans_silo WHERE deployment_id = @DeploymentId AND i_am_alive_at < @IAmAliveTime AND status <> 3'),

('ReadFromStorageKey', '
    SELECT payload AS "PayloadBinary", version AS "Version"
    FROM orleans_state
    WHERE service_id = @ServiceId AND grain_type = @GrainTypeString
        AND id_n0 = @GrainIdN0 AND id_n1 = @GrainIdN1 AND id_text = COALESCE(@GrainIdExtensionString, '''')'),

('WriteToStorageKey', '
    WITH changed AS (
        UPDATE orleans_state SET payload = @PayloadBinary, version = version + 1, written_at = now()
        WHERE service_id = @ServiceId AND grain_type = @GrainTypeString
            AND id_n0 = @GrainIdN0 AND id_n1 = @GrainIdN1 AND id_text = COALESCE(@GrainIdExtensionString, '''')
            AND version = @GrainStateVersion
        RETURNING version),
    made AS (
        INSERT INTO orleans_state (service_id, grain_type, id_n0, id_n1, id_text, version, payload)
        SELECT @ServiceId, @GrainTypeString, @GrainIdN0, @GrainIdN1, COALESCE(@GrainIdExtensionString, ''''), 1, @PayloadBinary
        WHERE @GrainStateVersion IS NULL
        ON CONFLICT DO NOTHING
        RETURNING version)
    SELECT version AS "NewGrainStateVersion" FROM changed UNION ALL SELECT version FROM made'),

('ClearStorageKey', '
    UPDATE orleans_state SET payload = NULL, version = version + 1, written_at = now()
    WHERE service_id = @ServiceId AND grain_type = @GrainTypeString
        AND id_n0 = @GrainIdN0 AND id_n1 = @GrainIdN1 AND id_text = COALESCE(@GrainIdExtensionString, '''')
        AND version = @GrainStateVersion
    RETURNING version'),

('DeleteStorageKey', '
    DELETE FROM orleans_state
    WHERE service_id = @ServiceId AND grain_type = @GrainTypeString
        AND id_n0 = @GrainIdN0 AND id_n1 = @GrainIdN1 AND id_text = COALESCE(@GrainIdExtensionString, '''')
        AND version = @GrainStateVersion
    RETURNING version + 1')
ON CONFLICT (querykey) DO UPDATE SET querytext = EXCLUDED.querytext;
