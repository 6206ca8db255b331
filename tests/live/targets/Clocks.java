// Prints the wall clock and the monotonic clock as the JVM reads them, compiled code included.
import java.time.Instant;

public final class Clocks {
  public static void main(String[] arguments) throws InterruptedException {
    while (true) {
      long mono = System.nanoTime();
      Instant rt = Instant.now();
      System.out.printf("rt %d.%09d mono %d.%09d%n", rt.getEpochSecond(), rt.getNano(),
                        mono / 1_000_000_000L, mono % 1_000_000_000L);
      System.out.flush();
      Thread.sleep(20);
    }
  }
}
