"""What every service needs and none owns. Test for belonging: would a sixth, unrelated service want it?"""
