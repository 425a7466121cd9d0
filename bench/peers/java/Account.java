package peers;

/** State of a customer in J1: balance, integral, 13 month sums in fen and fen days, and the tier last told. */
public class Account {
    private static final long[] THRESHOLDS = {0L, 1_000_000_000L, 10_000_000_000L, 100_000_000_000L};
    private static final int FIRST_DAY = 20_500;
    private static final int MONTH_DAYS = 30;
    public static final int MONTHS = 13;

    // Public, so that Flink serializes it as a POJO.
    public long balance;
    public long integral;
    public long[] months = new long[MONTHS];
    public int tier;

    /** What an amount adds to the sum of its month. */
    public static long inMonth(long amount, int day) {
        return amount * (MONTH_DAYS - Math.floorMod(day - FIRST_DAY, MONTH_DAYS));
    }

    /** Books an amount in fen on a value date, days since 1970; true if the tier is another one now. */
    public boolean book(long amount, int day) {
        balance += amount;
        integral += amount * day;
        months[Math.floorMod(Math.floorDiv(day - FIRST_DAY, MONTH_DAYS), MONTHS)] += inMonth(amount, day);
        long reached = Math.floorDiv(integral, 1000L);
        int before = tier;
        tier = 0;
        for (long threshold : THRESHOLDS) {
            if (reached >= threshold) {
                tier++;
            }
        }
        return tier != before;
    }
}
