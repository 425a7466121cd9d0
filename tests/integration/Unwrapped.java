import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.Map;
import io.apicurio.registry.utils.converter.avro.AvroData;
import io.debezium.transforms.ExtractNewRecordState;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.data.Timestamp;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * A row of a core system's table as Kafka Connect's Avro converter writes it, and as Debezium unwraps it: created, deleted.
 *
 * Prints a line each: what it is, its Avro schema, its datum in hexadecimal digits. Without generics, for Janino.
 */
public class Unwrapped {
    static final AvroData AVRO = new AvroData(16);

    public static void main(String[] args) throws Exception {
        Schema date = org.apache.kafka.connect.data.Date.SCHEMA;
        Schema text = Schema.OPTIONAL_STRING_SCHEMA;
        Schema row = SchemaBuilder.struct().name("core.public.transactions.Value").optional()
            .field("event_id", Schema.STRING_SCHEMA).field("source", Schema.STRING_SCHEMA)
            .field("journal_seq", Schema.INT32_SCHEMA).field("customer_id", Schema.STRING_SCHEMA)
            .field("account_id", Schema.STRING_SCHEMA).field("asset_class", Schema.STRING_SCHEMA)
            .field("currency", Schema.STRING_SCHEMA).field("amount_minor", Decimal.schema(2))
            .field("value_date", date).field("booked_at", Timestamp.SCHEMA)
            .field("nature", Schema.STRING_SCHEMA).field("customer_initiated", Schema.BOOLEAN_SCHEMA)
            .field("branch", Schema.STRING_SCHEMA).field("channel", text).field("counterparty_bank", text).build();
        Struct after = new Struct(row).put("event_id", "core-1").put("source", "core").put("journal_seq", Integer.valueOf(1))
            .put("customer_id", "C1").put("account_id", "A1").put("asset_class", "savings").put("currency", "CNY")
            .put("amount_minor", new BigDecimal("-1234.56")).put("value_date", new Date(19784L * 86400000L))
            .put("booked_at", new Date(1709355600123L)).put("nature", "external")
            .put("customer_initiated", Boolean.TRUE).put("branch", "B1").put("channel", "mobile");
        say("row", row, after);

        Schema source = SchemaBuilder.struct().name("source").field("db", Schema.STRING_SCHEMA).build();
        Schema envelope = SchemaBuilder.struct().name("core.public.transactions.Envelope").version(Integer.valueOf(2))
            .field("before", row).field("after", row).field("source", source).field("op", Schema.STRING_SCHEMA)
            .field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).build();
        ExtractNewRecordState unwrap = new ExtractNewRecordState();
        Map config = new HashMap();
        config.put("delete.tombstone.handling.mode", "rewrite");
        unwrap.configure(config);
        Struct from = new Struct(source).put("db", "core");
        String[] ops = new String[] {"c", "d"};
        for (int i = 0; i < 2; i++) {
            Struct value = new Struct(envelope).put(i == 0 ? "after" : "before", after).put("source", from)
                .put("op", ops[i]).put("ts_ms", Long.valueOf(1709355600123L));
            SourceRecord record = new SourceRecord(Collections.EMPTY_MAP, Collections.EMPTY_MAP, "core.public.transactions",
                Integer.valueOf(0), Schema.STRING_SCHEMA, "C1", envelope, value);
            SourceRecord made = (SourceRecord) unwrap.apply(record);
            say(i == 0 ? "created" : "deleted", made.valueSchema(), made.value());
        }
        unwrap.close();
    }

    static void say(String name, Schema schema, Object value) throws Exception {
        org.apache.avro.Schema avro = AVRO.fromConnectSchema(schema);
        if (avro.getType() == org.apache.avro.Schema.Type.UNION) {
            avro = (org.apache.avro.Schema) avro.getTypes().get(1);
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
        new GenericDatumWriter(avro).write(AVRO.fromConnectData(schema, value), encoder);
        encoder.flush();
        StringBuilder hex = new StringBuilder();
        byte[] bytes = out.toByteArray();
        for (int i = 0; i < bytes.length; i++) {
            hex.append(Character.forDigit((bytes[i] >> 4) & 15, 16)).append(Character.forDigit(bytes[i] & 15, 16));
        }
        System.out.println(name + "\t" + avro.toString() + "\t" + hex);
    }
}
