CREATE TABLE readings AS
SELECT row_number() OVER () AS line, timestamp AS ts, household_id, power_consumption AS power, voltage,
    voltage * current AS va
FROM read_csv('$folder/energy_data.csv', header = true, ignore_errors = true, columns = {
    'timestamp': 'TIMESTAMP', 'household_id': 'VARCHAR', 'power_consumption': 'DOUBLE', 'voltage': 'DOUBLE',
    'current': 'DOUBLE'})
WHERE power_consumption >= 0 AND voltage IS NOT NULL AND current IS NOT NULL AND timestamp IS NOT NULL
    AND household_id IS NOT NULL;

CREATE TABLE steps AS
SELECT *, lag(ts) OVER own AS before_ts, lag(power) OVER own AS before_power
FROM readings WINDOW own AS (PARTITION BY household_id ORDER BY ts, line);

DROP TABLE readings;

CREATE TABLE runs AS
WITH numbered AS (
    SELECT household_id, ts, power, power = before_power AND ts - before_ts = INTERVAL 5 MINUTE AS same,
        sum(CASE WHEN power = before_power AND ts - before_ts = INTERVAL 5 MINUTE THEN 0 ELSE 1 END)
            OVER (PARTITION BY household_id ORDER BY ts, line ROWS UNBOUNDED PRECEDING) AS run
    FROM steps WHERE ts IS DISTINCT FROM before_ts
)
SELECT household_id, min(ts) - INTERVAL 5 MINUTE AS start, max(ts) AS last, count(*) + 1 AS records, any_value(power) AS power
FROM numbered WHERE same GROUP BY household_id, run HAVING records >= CASE WHEN any_value(power) = 0 THEN 288 ELSE 72 END;

CREATE TABLE typical AS
WITH hours AS (
    SELECT household_id, (isodow(ts) - 1) * 24 + hour(ts) AS hour, count(*) AS n, median(power) AS middle,
        quantile_cont(power, 0.9) AS high, mad(power) AS mad
    FROM steps WHERE ts IS DISTINCT FROM before_ts GROUP BY ALL
)
SELECT household_id, hour, CASE WHEN n >= 12 THEN middle END AS middle,
    greatest(1.4826 * mad, (high - middle) / 1.2816, 0.25 * middle, 0.05) AS scale
FROM hours;

CREATE TABLE judged AS
SELECT s.household_id, ts, s.power, voltage, CASE WHEN va >= 50 THEN round(s.power * 1000 / va, 4) END AS efficiency,
    (isodow(ts) - 1) * 24 + hour(ts) AS hour,
    voltage < 207 OR voltage > 253 AS bad_voltage,
    s.power * 1000 > 1.02 * va AND (va >= 500 OR s.power * 1000 > 1.02 * va + 5) AS bad_power_factor,
    coalesce((s.power - middle) / scale > 5, false) AS outlier,
    runs.power IS NOT NULL AND runs.power > 0 AS flat, runs.power IS NOT NULL AND runs.power = 0 AS zero
FROM steps s
JOIN typical ON typical.household_id = s.household_id AND typical.hour = (isodow(ts) - 1) * 24 + hour(ts)
LEFT JOIN runs ON runs.household_id = s.household_id AND s.ts BETWEEN runs.start AND runs.last
WHERE ts IS DISTINCT FROM before_ts;

COPY (
    SELECT strftime(ts, '%Y-%m-%dT%H:%M:%SZ') AS timestamp, household_id, power, efficiency,
        CASE WHEN power > 5 THEN 'high_usage' ELSE 'normal' END AS status,
        bad_voltage OR bad_power_factor OR outlier OR flat AS anomaly_detected,
        concat_ws(';', CASE WHEN bad_voltage THEN 'voltage_outside_band' END,
            CASE WHEN bad_power_factor THEN 'power_factor' END, CASE WHEN outlier THEN 'outlier' END,
            CASE WHEN flat THEN 'flat_line' END) AS anomaly_reasons
    FROM judged ORDER BY judged.household_id, ts
) TO '$folder/energy_report.csv' (HEADER);

CREATE TABLE households AS
SELECT household_id, count(*), sum(power) / 12 AS kwh, max(power), arg_max(ts, power), avg(power) / max(power),
    avg(efficiency), count(*) FILTER (power > 5), count(*) FILTER (bad_voltage), count(*) FILTER (bad_power_factor),
    count(*) FILTER (outlier), count(*) FILTER (flat), count(*) FILTER (zero), min(ts), max(ts)
FROM judged GROUP BY household_id ORDER BY household_id;

CREATE TABLE holes AS
SELECT household_id, before_ts, ts FROM steps WHERE ts - before_ts > INTERVAL 5 MINUTE
ORDER BY ts - before_ts DESC LIMIT 10;

CREATE TABLE profile AS
SELECT household_id, hour % 24, avg(power) FROM judged GROUP BY ALL;

CREATE TABLE days AS
SELECT ts::DATE AS day, avg(power), max(power) FROM judged GROUP BY ALL ORDER BY day;

CREATE TABLE heat AS
SELECT ts::DATE AS day, hour % 24, avg(power) FROM judged GROUP BY ALL ORDER BY ALL;

CREATE TABLE odd AS
SELECT ts::DATE AS day, count(*) FILTER (bad_voltage), count(*) FILTER (bad_power_factor), count(*) FILTER (outlier),
    count(*) FILTER (flat), max(power) FILTER (outlier) FROM judged GROUP BY ALL ORDER BY day;

CREATE TABLE weeks AS
SELECT household_id, week, avg((volts BETWEEN 207 AND 253)::INTEGER) FROM (
    SELECT household_id, time_bucket(INTERVAL 7 DAY, ts, TIMESTAMP '2025-01-01') AS week,
        time_bucket(INTERVAL 10 MINUTE, ts) AS ten, avg(voltage) AS volts FROM judged GROUP BY ALL
) GROUP BY ALL;

CREATE TABLE fleet AS
SELECT max(power), avg(power) FROM (SELECT ts, sum(power) AS power FROM judged GROUP BY ts);

COPY (FROM read_csv('$folder/energy_report.csv', header = true)) TO '$folder/energy_report.parquet' (COMPRESSION zstd);

CREATE TABLE by_day AS
SELECT household_id, ts::DATE AS day, sum(power) / 12 AS kwh, count(*) / 288 AS coverage FROM judged
GROUP BY GROUPING SETS ((household_id, ts::DATE), (ts::DATE));

CREATE TABLE totals AS
SELECT household_id, 'month' AS period, date_trunc('month', day) AS start, sum(kwh), avg(coverage) FROM by_day GROUP BY ALL
UNION ALL
SELECT household_id, 'year', date_trunc('year', day), sum(kwh), avg(coverage) FROM by_day GROUP BY ALL;

COPY by_day TO '$folder/energy_totals.parquet' (COMPRESSION zstd);

CREATE TABLE quarters AS
SELECT household_id, time_bucket(INTERVAL 15 MINUTE, ts) AS start, avg(power) AS kw, count(*) AS readings FROM judged
GROUP BY ALL;

CREATE TABLE together AS
SELECT start, sum(kw) AS kw FROM quarters GROUP BY start;

CREATE TABLE peaks AS
SELECT household_id, date_trunc('month', start) AS month, max(kw), arg_max(start, kw) FROM quarters
WHERE readings = 3 GROUP BY ALL
UNION ALL SELECT NULL, date_trunc('month', start), max(kw), arg_max(start, kw) FROM together GROUP BY ALL;

CREATE TABLE base AS
SELECT household_id, quantile_disc(kw, 0.025) FROM quarters WHERE readings = 3 GROUP BY household_id;

CREATE TABLE duration AS
SELECT quantile_disc(kw, [x / 100 FOR x IN range(101)]) FROM together;
