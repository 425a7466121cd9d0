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

    static final class Reading implements KafkaRecordDeserializationSchema<Event> {
        private static final long serialVersionUID = 1;
        private transient Event.Reader reader;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Event> out) {
            if (reader == null) {
                Task.begin();
                reader = new Event.Reader();
            }
            out.collect(reader.read(record.value()));
        }

        @Override
        public TypeInformation<Event> getProducedType() {
            return Types.POJO(Event.class);
        }
    }

    static final class Booking extends KeyedProcessFunction<String, Event, Tuple2<String, String>> {
        private static final long serialVersionUID = 1;
        private transient ValueState<Account> accounts;

        @Override
        public void open(OpenContext context) {
            accounts = getRuntimeContext().getState(new ValueStateDescriptor<>("account", Types.POJO(Account.class)));
        }

        @Override
        public void processElement(Event event, Context context, Collector<Tuple2<String, String>> out)
                throws Exception {
            Account account = accounts.value();
            if (account == null) {
                account = new Account();
            }
            int before = account.tier;
            long months = total(account.months);
            boolean moved = account.book(event.amount, event.day);
            accounts.update(account);
            BALANCE.add(event.amount);
            INTEGRAL.add(event.amount * event.day);
            MONTHS.add(total(account.months) - months);
            if (moved) {
                out.collect(Tuple2.of(event.customer, event.customer + "," + before + "," + account.tier));
            }
            Task.count();
        }

        private static long total(long[] months) {
            long sum = 0;
            for (long month : months) {
                sum += month;
            }
            return sum;
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
        KafkaSource<Event> source = KafkaSource.<Event>builder()
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
                .keyBy(event -> event.customer, Types.STRING)
                .process(new Booking())
                .returns(Types.TUPLE(Types.STRING, Types.STRING))
                .sinkTo(sink);
        Runtime.getRuntime()
                .addShutdownHook(new Thread(() -> Task.tell(BALANCE.sum(), INTEGRAL.sum(), MONTHS.sum())));
        Task.watch();
        environment.execute("J1");
    }
}
