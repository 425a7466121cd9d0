package peers;

import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.LongAdder;

/** What the bench tells an engine by its environment, and what the engine prints for the bench. */
public final class Task {
    private static final AtomicBoolean BEGUN = new AtomicBoolean();
    private static final LongAdder WORKED_ON = new LongAdder();
    private static final long POLL_MS = 10;

    private Task() {}

    /** The value of BENCH_name. */
    public static String get(String name) {
        String value = System.getenv("BENCH_" + name);
        if (value == null) {
            throw new IllegalStateException("BENCH_" + name + " is not set");
        }
        return value;
    }

    /** The value of BENCH_name, or another one without it. */
    public static String get(String name, String other) {
        return System.getenv().getOrDefault("BENCH_" + name, other);
    }

    /** The first event is here: prints the time and the CPU seconds of the process, once. */
    public static void begin() {
        if (BEGUN.compareAndSet(false, true)) {
            var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            say("FIRST", seconds() + " " + fixed(system.getProcessCpuTime() / 1e9));
        }
    }

    /** One more event is worked on. */
    public static void count() {
        WORKED_ON.increment();
    }

    /** Prints when as many events are worked on as there are. */
    public static void watch() {
        long events = Long.parseLong(get("EVENTS"));
        Thread thread = new Thread(() -> {
            try {
                while (WORKED_ON.sum() < events) {
                    Thread.sleep(POLL_MS);
                }
                say("LAST", seconds());
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    /** Prints the sums of the state. */
    public static void tell(long balance, long integral, long months) {
        say("SUM", balance + " " + integral + " " + months);
    }

    private static void say(String word, String rest) {
        System.out.println(word + " " + rest);
        System.out.flush();
    }

    private static String seconds() {
        return fixed(System.currentTimeMillis() / 1e3);
    }

    private static String fixed(double seconds) {
        return String.format(java.util.Locale.ROOT, "%.6f", seconds);
    }
}
