# The same libraries without zlib among the inputs: the build fails, and says what to add.
{
  runCommand,
  testers,
  manylinuxFixupHook,
}:
runCommand "manylinux-fixup-hook-refuses-test"
  {
    failed = testers.testBuildFailure (
      manylinuxFixupHook.tests.links.overrideAttrs { buildInputs = [ ]; }
    );
    meta.description = "What manylinuxFixupHook says of a library that is missing";
  }
  ''
    cat $failed/testBuildFailure.log
    grep -F 'libz.so.1' $failed/testBuildFailure.log
    grep -F 'buildInputs = [ zlib ];' $failed/testBuildFailure.log
    touch $out
  ''
