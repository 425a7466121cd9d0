package peers;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** J1 on Kafka Streams: exactly once, a persistent store with cache and changelog. */
public final class KafkaStreamsPeer {
    private static final String STORE = "accounts";
    private static final AtomicLongArray SUMS = new AtomicLongArray(3);

    private KafkaStreamsPeer() {}

    static final class AccountSerde implements Serde<Account>, Serializer<Account>, Deserializer<Account> {
        @Override
        public Serializer<Account> serializer() {
            return this;
        }

        @Override
        public Deserializer<Account> deserializer() {
            return this;
        }

        @Override
        public void configure(java.util.Map<String, ?> configs, boolean isKey) {}

        @Override
        public void close() {}

        @Override
        public byte[] serialize(String topic, Account account) {
            if (account == null) {
                return null;
            }
            ByteBuffer bytes = ByteBuffer.allocate(Long.BYTES * (2 + Account.MONTHS) + Integer.BYTES);
            bytes.putLong(account.balance).putLong(account.integral);
            for (long month : account.months) {
                bytes.putLong(month);
            }
            return bytes.putInt(account.tier).array();
        }

        @Override
        public Account deserialize(String topic, byte[] value) {
            if (value == null) {
                return null;
            }
            ByteBuffer bytes = ByteBuffer.wrap(value);
            Account account = new Account();
            account.balance = bytes.getLong();
            account.integral = bytes.getLong();
            for (int i = 0; i < Account.MONTHS; i++) {
                account.months[i] = bytes.getLong();
            }
            account.tier = bytes.getInt();
            return account;
        }
    }

    static final class Booking implements Processor<byte[], byte[], String, String> {
        private final Event.Reader reader = new Event.Reader();
        private ProcessorContext<String, String> context;
        private KeyValueStore<String, Account> accounts;

        @Override
        public void init(ProcessorContext<String, String> given) {
            context = given;
            accounts = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            Task.begin();
            Event event = reader.read(record.value());
            Account account = accounts.get(event.customer);
            if (account == null) {
                account = new Account();
            }
            int before = account.tier;
            boolean moved = account.book(event.amount, event.day);
            accounts.put(event.customer, account);
            if (moved) {
                String change = event.customer + "," + before + "," + account.tier;
                context.forward(new Record<>(event.customer, change, record.timestamp()));
            }
            Task.count();
        }

        /** Sums up what the store holds in the end. */
        @Override
        public void close() {
            try (var all = accounts.all()) {
                while (all.hasNext()) {
                    Account account = all.next().value;
                    SUMS.addAndGet(0, account.balance);
                    SUMS.addAndGet(1, account.integral);
                    for (long month : account.months) {
                        SUMS.addAndGet(2, month);
                    }
                }
            }
        }
    }

    private static Properties settings() {
        Properties settings = new Properties();
        settings.put("application.id", Task.get("GROUP"));
        settings.put("bootstrap.servers", Task.get("SERVERS"));
        settings.put("state.dir", Task.get("FOLDER"));
        settings.put("auto.offset.reset", "earliest");
        settings.put("replication.factor", "1");
        settings.put("processing.guarantee", "exactly_once_v2");
        settings.put("commit.interval.ms", Task.get("COMMIT_MS", "100"));
        settings.put("num.stream.threads", Task.get("THREADS", "2"));
        settings.put("statestore.cache.max.bytes", Task.get("CACHE_BYTES", "134217728"));
        return settings;
    }

    public static void main(String[] arguments) throws InterruptedException {
        Topology topology = new Topology();
        topology.addSource("events", new ByteArrayDeserializer(), new ByteArrayDeserializer(), Task.get("TOPIC"));
        topology.addProcessor("booking", Booking::new, "events");
        var store = Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(STORE), Serdes.String(), new AccountSerde());
        topology.addStateStore(store.withCachingEnabled(), "booking");
        topology.addSink("changes", Task.get("OUTPUT"), new StringSerializer(), new StringSerializer(), "booking");
        KafkaStreams streams = new KafkaStreams(topology, settings());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(30));
            Task.tell(SUMS.get(0), SUMS.get(1), SUMS.get(2));
        }));
        Task.watch();
        streams.start();
        Thread.currentThread().join();
    }
}
