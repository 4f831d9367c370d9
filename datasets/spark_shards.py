"""Write shards of interactions with Apache Spark, from tables that a company already has.

    spark-submit datasets/spark_shards.py --input PATH --output FOLDER [--columns user=uid item=sku ...]

The folder has what `write_shards` in datasets/readers/shard_writer.py makes of the same rows: the same shards
with the same columns, types and rows in each, so that `canonical_sha256` is the same. Spark names and
compresses its files in its own way, and sorts the rows of a shard by user, timestamp, item and rating.
`manage.py train --data FOLDER` reads both.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

SHARDS = 64
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000}  # a second
ROLES = ("user", "item", "rating", "timestamp")


def main() -> None:
    """Read the command line and write the shards."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", required=True, help="any path that Spark reads")
    parser.add_argument("--output", required=True, help="a folder that is not there yet")
    parser.add_argument("--format", default="parquet", help="parquet, csv (with a header), orc ...")
    parser.add_argument("--columns", nargs="+", default=[], metavar="ROLE=NAME", help=", ".join(ROLES))
    parser.add_argument("--unit", choices=TICKS, default="s", help="of a timestamp that is a number")
    options = parser.parse_args()
    try:
        from pyspark.sql import SparkSession
    except ModuleNotFoundError:
        parser.error("Spark is not installed: pip install 'reelgraph[spark]', or use spark-submit")
    stated = dict(pair.split("=", 1) for pair in options.columns if "=" in pair)
    if len(stated) < len(options.columns) or set(stated) - set(ROLES):
        parser.error(f"--columns: expected ROLE=NAME with a role of {', '.join(ROLES)}")
    spark = SparkSession.builder.appName("reelgraph shards").getOrCreate()
    rows = spark.read.option("header", value=True).format(options.format).load(options.input)
    names = {role: stated.get(role, role) for role in ROLES if role in stated or role in rows.columns}
    if missing := {"user", "item", "timestamp"} - set(names) | set(names.values()) - set(rows.columns):
        parser.error(f"no column {', '.join(sorted(missing))} among {', '.join(rows.columns)}")
    write_shards(spark, rows, options.output, names, unit=options.unit)


def write_shards(
    spark: SparkSession, rows: DataFrame, output: str, names: Mapping[str, str], *, unit: str = "s"
) -> None:
    """Write the columns `names`, by role, as shards. Raises the errors of Spark, as where `output` exists."""
    from pyspark.sql import functions as F

    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    ids = [F.nullif(F.trim(F.col(names[role]).cast("string")), F.lit("")).alias(role) for role in ROLES[:2]]
    stars = [F.col(names["rating"]).cast("float").alias("rating")] if "rating" in names else []
    moment = _moment(rows, names["timestamp"], TICKS[unit]).alias("timestamp")
    # A row without an id, or a time that is none, stops the job, which names the column.
    shard = F.lpad((F.crc32(F.col("user")) % SHARDS).cast("string"), 2, "0")
    checked = rows.select(*ids, *stars, moment)
    for role in ("user", "item", "timestamp"):
        wrong = F.raise_error(F.lit(f"a row has no usable {role} (column {names[role]})"))
        checked = checked.withColumn(role, F.coalesce(F.col(role), wrong.cast(checked.schema[role].dataType)))
    sharded = checked.withColumn("shard", shard).repartition("shard")
    order = [name for name in ("shard", "user", "timestamp", "item", "rating") if name in sharded.columns]
    ordered = sharded.sortWithinPartitions(*order)
    ordered.write.option("compression", "zstd").partitionBy("shard").parquet(output)


def _moment(rows: DataFrame, name: str, ticks: int) -> Column:
    """Return the column as a timestamp: one that is a number, or text of a number, counts since 1970."""
    from pyspark.sql import functions as F

    kind = rows.schema[name].dataType.typeName()
    if kind in ("timestamp", "timestamp_ntz", "date"):
        return F.col(name).cast("timestamp")
    return F.timestamp_micros(
        (F.expr(f"try_cast(`{name}` AS decimal(20, 6))") * (1_000_000 // ticks)).cast("long")
    )


if __name__ == "__main__":
    main()
