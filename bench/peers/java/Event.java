package peers;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;

/** What J1 needs of an event. */
public final class Event {
    public String customer;
    public long amount; // signed, fen
    public int day; // value date, days since 1970

    /** Reads events, always into the same object; one a thread. */
    public static final class Reader {
        private static final int HEADER_BYTES = 5; // magic byte and schema id

        private final GenericDatumReader<GenericRecord> reader;
        private final int customer;
        private final int kind;
        private final int amount;
        private final int day;
        private final Event found = new Event();
        private BinaryDecoder decoder;
        private GenericRecord event;

        public Reader() {
            try {
                Schema schema = new Schema.Parser().parse(Files.readString(Path.of(Task.get("SCHEMA"))));
                reader = new GenericDatumReader<>(schema);
                customer = schema.getField("customer_id").pos();
                kind = schema.getField("kind").pos();
                amount = schema.getField("amount").pos();
                day = schema.getField("value_date").pos();
            } catch (IOException problem) {
                throw new UncheckedIOException(problem);
            }
        }

        public Event read(byte[] value) {
            try {
                decoder = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, decoder);
                event = reader.read(event, decoder);
            } catch (IOException problem) {
                throw new UncheckedIOException(problem);
            }
            found.customer = event.get(customer).toString();
            found.amount = signed(event.get(kind).toString(), (Long) event.get(amount));
            found.day = (Integer) event.get(day);
            return found;
        }

        private static long signed(String kind, long amount) {
            return kind.equals("DEPOSIT") || kind.equals("TRANSFER_IN") ? amount : -amount;
        }
    }
}
