package peers;

import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** J1 on Apache Flink in one process: exactly once by checkpoints and a transactional sink; state on the heap or in RocksDB. */
public final class FlinkPeer {
    // The state is in Flink's hands: a total of it is kept beside it.
    private static final LongAdder BALANCE = new LongAdder();
    private static final LongAdder INTEGRAL = new LongAdder();
    private static final LongAdder MONTHS = new LongAdder();

    private FlinkPeer() {}

    /** Of the event only what the job needs: customer, signed amount in fen, value date. */
    static final class Reading implements KafkaRecordDeserializationSchema<Tuple3<String, Long, Integer>> {
        private static final long serialVersionUID = 1;
        private transient Event.Reader reader;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple3<String, Long, Integer>> out) {
            if (reader == null) {
                Task.begin();
                reader = new Event.Reader();
            }
            Event event = reader.read(record.value());
            out.collect(Tuple3.of(event.customer, event.amount, event.day));
        }

        @Override
        public TypeInformation<Tuple3<String, Long, Integer>> getProducedType() {
            return Types.TUPLE(Types.STRING, Types.LONG, Types.INT);
        }
    }

    static final class Booking extends KeyedProcessFunction<String, Tuple3<String, Long, Integer>, Tuple2<String, String>> {
        private static final long serialVersionUID = 1;
        private transient ValueState<Account> accounts;

        @Override
        public void open(OpenContext context) {
            accounts = getRuntimeContext().getState(new ValueStateDescriptor<>("account", Types.POJO(Account.class)));
        }

        @Override
        public void processElement(
                Tuple3<String, Long, Integer> event, Context context, Collector<Tuple2<String, String>> out) throws Exception {
            Account account = accounts.value();
            if (account == null) {
                account = new Account();
            }
            int before = account.tier;
            long amount = event.f1;
            int day = event.f2;
            boolean moved = account.book(amount, day);
            accounts.update(account);
            BALANCE.add(amount);
            INTEGRAL.add(amount * day);
            MONTHS.add(Account.inMonth(amount, day));
            if (moved) {
                out.collect(Tuple2.of(event.f0, event.f0 + "," + before + "," + account.tier));
            }
            Task.count();
        }
    }

    static final class Writing implements KafkaRecordSerializationSchema<Tuple2<String, String>> {
        private static final long serialVersionUID = 1;
        private final String topic;

        Writing(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(
                Tuple2<String, String> change, KafkaSinkContext context, Long timestamp) {
            byte[] key = change.f0.getBytes(StandardCharsets.UTF_8);
            return new ProducerRecord<>(topic, key, change.f1.getBytes(StandardCharsets.UTF_8));
        }
    }

    private static Configuration settings() {
        String folder = Task.get("FOLDER");
        Configuration settings = new Configuration();
        settings.setString("state.backend.type", Task.get("BACKEND", "hashmap"));
        settings.setString("execution.checkpointing.incremental", "true");
        settings.setString("execution.checkpointing.interval", Task.get("CHECKPOINT", "1s"));
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", "file://" + folder + "/checkpoints");
        settings.setString("io.tmp.dirs", folder);
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("taskmanager.memory.managed.size", "512mb");
        settings.setString("taskmanager.memory.network.min", "64mb");
        return settings;
    }

    public static void main(String[] arguments) throws Exception {
        var environment = StreamExecutionEnvironment.createLocalEnvironment(
                Integer.parseInt(Task.get("THREADS", "2")), settings());
        KafkaSource<Tuple3<String, Long, Integer>> source = KafkaSource.<Tuple3<String, Long, Integer>>builder()
                .setBootstrapServers(Task.get("SERVERS"))
                .setTopics(Task.get("TOPIC"))
                .setGroupId(Task.get("GROUP"))
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Reading())
                .build();
        KafkaSink<Tuple2<String, String>> sink = KafkaSink.<Tuple2<String, String>>builder()
                .setBootstrapServers(Task.get("SERVERS"))
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(Task.get("GROUP"))
                .setProperty("transaction.timeout.ms", "120000")
                .setRecordSerializer(new Writing(Task.get("OUTPUT")))
                .build();
        environment
                .fromSource(source, WatermarkStrategy.noWatermarks(), "events")
                .keyBy(event -> event.f0, Types.STRING)
                .process(new Booking())
                .returns(Types.TUPLE(Types.STRING, Types.STRING))
                .sinkTo(sink);
        Runtime.getRuntime()
                .addShutdownHook(new Thread(() -> Task.tell(BALANCE.sum(), INTEGRAL.sum(), MONTHS.sum())));
        Task.watch();
        environment.execute("J1");
    }
}
